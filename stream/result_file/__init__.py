"""Result files: one HDF5 file a run that opens at every moment, also while it grows.

    rows.py        finished frames as arrays, the unit of everything here
    header.py      what a run is: names, energies, the models it has seen
    layout.py      paths, types and attributes of the NeXus file; the one place that knows them
    draft.py       a file written aside: write, fsync, rename, fsync of the folder
    datasets.py    contiguous and virtual datasets, through the HDF5 library
    segment.py     a range of frames in one small immutable file
    raw.py         rows written, read and copied past the library
    parts.py       segments made of rows or of other segments
    survey.py      what a folder holds, after any kill
    average.py     the running mean and its honest error
    run_folder.py  append, refresh, check, finish: what the writer calls
    merging.py     which segments become one
    main_file.py   the file that people open, growing or finished
    takeover.py    how a writer takes over; leftovers.py what it may have to remove
    stretches.py   rows that have checksums together; checksum_table.py those of an amended file
    snapshot.py    a run's files held open; copying.py a copy, verify.py and consistency.py a check
    salvage.py     what can still be read; repair.py a new file of it; listing.py a folder's runs
    reader.py      RunFile: what everybody else calls; column.py its arrays

Only this package imports h5py. Nothing here knows a broker.
"""

from stream.result_file.header import Model, RunHeader
from stream.result_file.reader import RunFile
from stream.result_file.rows import Rows
from stream.result_file.run_folder import RunFolder

__all__ = ["Model", "Rows", "RunFile", "RunFolder", "RunHeader"]
