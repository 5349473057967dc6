"""The broker on Redis 7 or Valkey: streams for blocks, one Lua script for each promise.

All keys of a shard carry its hash tag, so that a script can touch the whole of a run and a cluster
can spread the shards:

    {es:K}:frames:live, :frames:bulk   where blocks of frames are, consumer group "workers"
    {es:K}:results                     where what became of them is, until it is on disk
    {es:K}:f:ID, {es:K}:r:ID           the blocks and results themselves (record 13)
    {es:K}:dead                        dead letters
    {es:K}:runs, :open, :run:NAME      names of all runs and of unfinished ones, their records
    {es:K}:gates                       runs that are paused, "*" for a drain, and since when
    {es:K}:bytes                       bytes accepted and not on disk, by priority
    {es:K}:models                      records of models, by SHA-256
    {es:K}:writer                      the writer's lease
    {es:K}:workers                     workers' last words (shard 0 only)
    {es:K}:shadows                     how far shadows are from what was served (shard 0 only)
"""

from __future__ import annotations

from stream.redis_operators import RedisOperators
from stream.redis_producers import RedisProducers
from stream.redis_workers import RedisWorkers
from stream.redis_writers import RedisWriters


class RedisBroker(RedisProducers, RedisWorkers, RedisWriters, RedisOperators):
    """See ``stream.broker`` for what each call promises."""
