"""How fast it is here: what ``edgestream bench`` measures, by real parts, and as ratios in one run.

    sampling.py    figures: a median with its least and greatest, and how often it was measured
    processes.py   CPU time and memory of any process, from the kernel
    stand.py       a real server, workers and writer, whose processes can be asked
    structures.py  what is measured on: real data where they are, else what ships or is made
    pipeline.py and its neighbours   one section each
    targets.py     what is asked of the figures; report.py how they are shown

Nothing below stands on this package.
"""
