#!lua flags=allow-oom
-- KEYS: writer, results, bytes, then results and blocks   ARGV: epoch, id, held bytes, id, ...
-- Requeued frames count for the bulk, not for a run: theirs may be forgotten.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
for i = 2, #ARGV, 2 do
  if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then
    redis.pcall('HINCRBY', KEYS[3], 'bulk', -tonumber(ARGV[i + 1]))
  end
end
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
return {'ok'}
