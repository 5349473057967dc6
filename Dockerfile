# edgestream for every part of the service. The C kernels are built in the first stage, and an image
# without them fails to build.
#
#   docker build -t edgestream .
#   docker build -t edgestream-trainer --build-arg EXTRAS=train \
#                --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .  # torch without CUDA
#   docker build -t edgestream-gpu --build-arg ONNXRUNTIME=onnxruntime-gpu \
#                --build-arg BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 .
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv
WORKDIR /source
ARG EXTRAS=""
ARG PIP_EXTRA_INDEX_URL
# What we stand on, in a layer that outlives changes of ours
COPY pyproject.toml constraints.txt ./
RUN python3 -m venv /opt/edgestream \
 && /opt/edgestream/bin/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *(r for e in '${EXTRAS}'.split() for r in p['optional-dependencies'][e]), sep='\n')" > wanted.txt \
 && /opt/edgestream/bin/pip install --no-cache-dir --constraint constraints.txt --requirement wanted.txt
COPY . .
RUN /opt/edgestream/bin/pip install --no-cache-dir --no-deps . \
 && cd / && /opt/edgestream/bin/python -c "from xas.wacsf import kernel_name; assert kernel_name() != 'numpy', 'no C kernel'"
ARG ONNXRUNTIME=onnxruntime
RUN if [ "${ONNXRUNTIME}" != onnxruntime ]; then \
      version=$(/opt/edgestream/bin/python -c "from importlib.metadata import version as v; print(v('onnxruntime'))") \
   && /opt/edgestream/bin/pip uninstall --yes onnxruntime \
   && /opt/edgestream/bin/pip install --no-cache-dir "${ONNXRUNTIME}[cuda,cudnn]==${version}"; fi

FROM ${BASE}
# An image for a GPU brings no Python; the others have it, and nothing is installed
RUN command -v python3 || (apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*)
COPY --from=build /opt/edgestream /opt/edgestream
# Volumes take their owner from these folders. The number is fixed: files outlive images
RUN useradd --uid 10001 --create-home edgestream && install -d -o edgestream /data /models /labels
ENV PATH=/opt/edgestream/bin:$PATH PYTHONUNBUFFERED=1 EDGESTREAM_MODELS=/models MPLCONFIGDIR=/tmp
USER edgestream
WORKDIR /data
ENTRYPOINT ["edgestream"]
CMD ["--help"]
