#!lua flags=allow-oom
-- KEYS: lease, labels, held, counts   ARGV: epoch, then id, outcome, id, ...
-- Each label leaves, and is counted, once.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
for i = 2, #ARGV, 2 do
  local found = redis.call('XRANGE', KEYS[2], ARGV[i], ARGV[i])[1]
  if found then
    local f = {}
    for j = 1, #found[2], 2 do f[found[2][j]] = found[2][j + 1] end
    redis.call('XDEL', KEYS[2], ARGV[i])
    redis.call('HINCRBY', KEYS[4], ARGV[i + 1], 1)
    if f.k then  -- else nobody of ours has put it there
      redis.call('HDEL', KEYS[3], f.k)
      redis.call('HINCRBY', KEYS[4], 'bytes', -#(f.p or ''))
    end
  end
end
redis.call('HSET', KEYS[4], 'last', redis.call('TIME')[1])
return {'ok'}
