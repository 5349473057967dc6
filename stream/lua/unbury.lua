#!lua flags=allow-oom
-- KEYS: writer, buried, bytes   ARGV: epoch, ids...
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
for i = 2, #ARGV do
  local found = redis.call('XRANGE', KEYS[2], ARGV[i], ARGV[i])[1]
  if found then
    redis.call('XDEL', KEYS[2], ARGV[i])
    redis.pcall('HINCRBY', KEYS[3], 'buried', -#found[2][2])
  end
end
return {'ok'}
