#!lua flags=allow-oom
-- KEYS: frames, buried, bytes, block if it is ours   ARGV: group, id, dead letter, most bytes
-- Strangers may be many and large: the latest are kept, up to so many bytes.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
if KEYS[4] then redis.call('DEL', KEYS[4]) end
-- the count is a producer's to change by hand: where it is none, or too high, all the others go
redis.call('XADD', KEYS[2], '*', 'b', ARGV[3])
local most, held = tonumber(ARGV[4]), redis.pcall('HINCRBY', KEYS[3], 'buried', #ARGV[3])
while type(held) ~= 'number' or held > most do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not oldest then break end
  redis.call('XDEL', KEYS[2], oldest[1])
  held = redis.pcall('HINCRBY', KEYS[3], 'buried', -#oldest[2][2])
end
return 1
