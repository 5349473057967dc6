#!lua flags=allow-oom
-- KEYS: writer, results, run, bytes   ARGV: epoch, watermark, then id, held bytes, id, ...
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
local change = 0
for i = 3, #ARGV, 2 do
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then change = change - tonumber(ARGV[i + 1]) end
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('HINCRBY', KEYS[3], 'bytes', change)
  local known = tonumber(redis.call('HGET', KEYS[3], 'watermark'))
  if tonumber(ARGV[2]) > known then redis.call('HSET', KEYS[3], 'watermark', ARGV[2]) end
  redis.call('HINCRBY', KEYS[4], redis.call('HGET', KEYS[3], 'priority'), change)
end
return {'ok'}
