#!lua
-- KEYS: frames, bytes, block, gates   ARGV: run name, first, n, mark
-- The block came ahead, to be forgotten unless kept here. 'q' marks its answer for the writer.
if redis.call('HEXISTS', KEYS[4], '*') == 1 then
  redis.call('DEL', KEYS[3])
  return {'draining'}
end
if redis.call('EXISTS', KEYS[3]) == 0 then return {'lost'} end
local size, held = redis.call('STRLEN', KEYS[3]), tonumber(redis.call('HGET', KEYS[2], 'bulk') or '0')
if held > 0 and held + size > 4 * tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[3])
  return {'full', string.format('%d', held)}
end
redis.call('PERSIST', KEYS[3])
redis.call('XADD', KEYS[1], '*', 'r', ARGV[1], 'i', ARGV[2], 'n', ARGV[3], 'k', KEYS[3], 'q', '1')
redis.call('HINCRBY', KEYS[2], 'bulk', size)
return {'ok'}
