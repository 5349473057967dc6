"""The live page: what a service does and what its runs look like, pushed to browsers as it comes.

    mailbox.py       the latest of each kind for one viewer; a board posts to all of them
    picture.py       what viewers see of a run: average, newest frame, history
    history.py       novelty and spectra over time, in bounded memory
    file_reading.py  a bounded part of a result file, however long it is
    run_watch.py     one thread a run: its tail and its file, for all its viewers
    service_watch.py one thread: server, runs, workers, models
    watches.py       which of them run
    model_list.py, job_list.py, label_list.py  the store, what trainer and labeller do, labels
    places.py        where the page looks: server, folder, models
    comparison.py    a run beside another run, a measured spectrum or another model
    operator.py      promote, roll back, requeue, hold back: with the operator's token
    door.py          who may ask: hosts, origins, headers
    routes.py        the addresses; events.py the stream of events
    page_process.py  all of it as a process
    static/          the page itself

Nothing here changes anything but ``operator.py``. Nothing scans a stream.
"""
