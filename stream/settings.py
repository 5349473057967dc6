"""The numbers of the service, in one place. Times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every default is meant to be right for one machine and for a hundred.

    high_water_bytes    accepted and not yet on disk, with what results will be, per run and,
                        fourfold, per priority
    claim_idle_s        a worker silent for so long loses its entries; well above the slowest batch
    lease_s             a writer silent for so long may be replaced
    batch_atoms         a batch is full when it holds so many atoms
    slice_atoms         bulk is predicted so many atoms at a time while live frames come
    block_atoms         a producer cuts its frames into entries of at most so many atoms
    commit_interval_s   how long the writer gathers rows before it makes them durable
    alias_look_s        how often a worker asks whether an alias has moved
    segment_grace_s     how long superseded segments stay for readers that still have them open
    spool_bytes         a producer's spool holds at most so much, then its policy applies
    label_bytes         labels that wait for the archive, at most
    spool_sync_s        frames accepted in so long may be lost by a power cut at the producer
    """

    shards: int = 1
    high_water_bytes: int = 256 * 2**20
    claim_idle_s: float = 30.0
    lease_s: float = 15.0
    batch_atoms: int = 32_768
    slice_atoms: int = 2_048
    block_atoms: int = 16_384
    commit_interval_s: float = 0.2
    segment_grace_s: float = 60.0
    alias_look_s: float = 0.5
    worker_silence_s: float = 15.0
    spool_bytes: int = 4 * 2**30
    spool_sync_s: float = 1.0
    label_bytes: int = 64 * 2**20

    def shard_of(self, run: str) -> int:
        """The shard that a run lives in; the same in every process."""
        return sum(run.encode()) % self.shards
