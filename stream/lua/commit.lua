#!lua flags=allow-oom
-- KEYS: writer, results, run, bytes, then results and blocks
-- ARGV: epoch, watermark, then id, held bytes, id, ...
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
local change = 0
for i = 3, #ARGV, 2 do
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then change = change - tonumber(ARGV[i + 1]) end
end
for i = 5, #KEYS, 1000 do redis.call('DEL', unpack(KEYS, i, math.min(i + 999, #KEYS))) end
local f = redis.call('HMGET', KEYS[3], 'watermark', 'priority', 'refusal')
if f[1] then
  -- what a producer put into its record by hand must not stop the writer half way: pcall, tonumber
  redis.pcall('HINCRBY', KEYS[3], 'bytes', change)
  if tonumber(ARGV[2]) > (tonumber(f[1]) or 0) then redis.call('HSET', KEYS[3], 'watermark', ARGV[2]) end
  if f[2] == 'live' or f[2] == 'bulk' then
    redis.pcall('HINCRBY', KEYS[4], (f[3] or '') == '' and f[2] or 'refused', change)
  end
end
return {'ok'}
