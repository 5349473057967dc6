// Colours that colour-blind readers tell apart: Okabe and Ito's for lines (https://jfly.uni-koeln.de/color/),
// cividis for intensity (Nunez et al., PLoS ONE 13, e0199239 (2018)), blue to orange for differences.

export const INK = "#1b1b1b";
export const BLUE = "#0072B2";
export const ORANGE = "#D55E00";
export const BAND = "rgba(0, 114, 178, 0.35)";
export const SPREAD = "rgba(86, 180, 233, 0.28)";
export const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"];
export const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

const CIVIDIS = [[0, 32, 77], [0, 52, 110], [57, 72, 107], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [255, 234, 70]];
const DIVERGING = [[0, 74, 122], [0, 114, 178], [109, 173, 214], [205, 226, 240], [247, 247, 247], [250, 222, 200], [240, 160, 100], [213, 94, 0], [140, 58, 0]];

function ramp(stops) {
  return Uint8ClampedArray.from({ length: 3 * 256 }, (_, i) => {
    const at = (Math.floor(i / 3) / 255) * (stops.length - 1);
    const k = Math.min(stops.length - 2, Math.floor(at));
    return stops[k][i % 3] + (at - k) * (stops[k + 1][i % 3] - stops[k][i % 3]);
  });
}

export const RAMPS = { intensity: ramp(CIVIDIS), difference: ramp(DIVERGING) };
