"""The error tree of edgestream, grouped by what the caller does next.

    EdgestreamError
    |-- Reject            the input is wrong: change it (exit code 2)
    |   |-- BadStructure      a structure that has no spectrum: empty, not finite, no absorber
    |   |-- BadTrajectory     a file that cannot be read, or ends in the middle of a frame
    |   |-- BadSpectrum       a measured spectrum that cannot be read or compared
    |   |-- BadMessage        bytes that are not a message of ours
    |   |   `-- NewerProtocol     a message of a later edgestream: update this process
    |   |-- BadModel          a bundle whose files, hashes or manifest do not agree
    |   |-- UnknownModel      no such model, version or alias; names the nearest
    |   |-- AliasMoved        somebody else moved the alias first: look, and decide again
    |   |-- BadLabels         training data that cannot be used
    |   |-- BadResultFile     a file that is not a result file of ours
    |   |-- RunRefused        a run that is sealed, exists already, or asks for something else
    |   `-- OutputExists      a file in the way: --overwrite or --resume
    |-- Retry             nothing is wrong with the input: try again later (exit code 3)
    |   |-- ServerUnreachable the Redis or Valkey server does not answer
    |   |   `-- RightsMissing     that user may not do that: another role, or a newer ACL file
    |   |       `-- ScriptsMissing    it does not know our scripts yet: the writer loads them
    |   |-- StoreUnreachable  the store of models does not answer, and this is not cached
    |   |-- RunForgotten      the server came back without frames it had accepted: push them again
    |   `-- Backpressure      the run holds as many bytes as it may; the writer is behind
    |       `-- HeldBack            an operator drains the service, or has paused the run
    `-- Stop              this process must not go on (exit code 4)
        |-- Fenced            another producer or writer has taken over
        |-- StorageFailed     the disk is full or refuses to write; nothing is acknowledged
        `-- WorkerUnfit       the model's own check input fails here: the fault is not the frame's

A message names the frame, the run or the model, and what to do about it.
"""


class EdgestreamError(Exception):
    """Anything that edgestream raises on purpose."""

    exit_code = 1


class Reject(EdgestreamError):
    """The input is wrong; the same call fails again."""

    exit_code = 2


class BadStructure(Reject):
    """A structure that has no spectrum."""


class BadTrajectory(Reject):
    """A trajectory file that cannot be read, or ends in the middle of a frame."""


class BadSpectrum(Reject):
    """A measured spectrum that cannot be read or compared."""


class BadMessage(Reject):
    """Bytes that are not a message of ours."""


class NewerProtocol(BadMessage):
    """A message of a later edgestream."""


class BadModel(Reject):
    """A bundle whose files, hashes or manifest do not agree."""


class UnknownModel(Reject):
    """No such model, version or alias."""


class AliasMoved(Reject):
    """Somebody else moved the alias first."""


class BadLabels(Reject):
    """Training data that cannot be used."""


class BadResultFile(Reject):
    """A file that is not a result file of ours."""


class RunRefused(Reject):
    """A run that is sealed, exists already, or asks for something else than before."""


class OutputExists(Reject):
    """An output file in the way."""


class Retry(EdgestreamError):
    """Nothing is wrong with the input; try again later."""

    exit_code = 3


class ServerUnreachable(Retry):
    """The Redis or Valkey server does not answer."""


class RightsMissing(ServerUnreachable):
    """The server's user that we are may not do that."""


class ScriptsMissing(RightsMissing):
    """The server does not know our scripts yet, and this user may not load them."""


class StoreUnreachable(Retry):
    """The store of models does not answer."""


class RunForgotten(Retry):
    """The server came back without the run, or without frames that it had accepted."""


class Backpressure(Retry):
    """The run holds as many uncommitted bytes as it may."""


class HeldBack(Backpressure):
    """An operator drains the service, or has paused the run."""


class Stop(EdgestreamError):
    """This process must not go on."""

    exit_code = 4


class Fenced(Stop):
    """Another producer or writer has taken over."""


class StorageFailed(Stop):
    """The disk is full or refuses to write; nothing was acknowledged."""

    exit_code = 3  # with space on the disk, the same run can be resumed


class WorkerUnfit(Stop):
    """The model's own check input fails in this process."""
