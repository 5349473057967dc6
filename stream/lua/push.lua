#!lua
-- KEYS: run, frames, bytes   ARGV: epoch, first, n, payload, mark, run name, priority
-- Accepts a block once, or nothing at all.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'next', 'sealed', 'bytes', 'refusal')
if not f[1] then return {'unknown'} end
if f[1] ~= ARGV[1] then return {'fenced'} end
if f[5] ~= '' then return {'refused', f[5]} end
if f[3] ~= '' then return {'sealed', f[3]} end
local next_index, first, n = tonumber(f[2]), tonumber(ARGV[2]), tonumber(ARGV[3])
if first ~= next_index then return {'expect', f[2]} end
local size, mark, held = #ARGV[4], tonumber(ARGV[5]), tonumber(f[4])
local class = tonumber(redis.call('HGET', KEYS[3], ARGV[7]) or '0')
-- a block larger than the mark passes when the run holds nothing: it would never pass otherwise
if (held > 0 and held + size > mark) or (class > 0 and class + size > 4 * mark) then
  return {'full', f[4]}
end
redis.call('XADD', KEYS[2], '*', 'r', ARGV[6], 'i', ARGV[2], 'n', ARGV[3], 'b', ARGV[4])
redis.call('HSET', KEYS[1], 'next', string.format('%d', first + n))
redis.call('HINCRBY', KEYS[1], 'bytes', size)
redis.call('HINCRBY', KEYS[3], ARGV[7], size)
return {'ok', string.format('%d', first + n)}
