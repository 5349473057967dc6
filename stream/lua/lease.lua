#!lua flags=allow-oom
-- KEYS: writer   ARGV: owner, lease milliseconds, verb (acquire|renew|yield), epoch or floor
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'until', 'lease')
local epoch = tonumber(f[2] or '0')
if ARGV[3] == 'acquire' then
  if f[1] and f[1] ~= '' and f[1] ~= ARGV[1] and tonumber(f[3]) > now_ms then
    local lease = tonumber(f[4] or ARGV[2])
    if tonumber(f[3]) > now_ms + lease then  -- this clock was set back since: a lease from now
      redis.call('HSET', KEYS[1], 'until', string.format('%d', now_ms + lease))
    end
    return {'held', f[1]}
  end
  epoch = math.max(epoch, tonumber(ARGV[4])) + 1
elseif ARGV[3] == 'renew' and not f[2] then
  epoch = tonumber(ARGV[4])  -- a server that forgot: nobody has taken the shard since
elseif f[2] ~= ARGV[4] or f[1] ~= ARGV[1] then
  return {'fenced', f[1] or ''}
end
local owner = ARGV[3] == 'yield' and '' or ARGV[1]
redis.call('HSET', KEYS[1], 'owner', owner, 'epoch', string.format('%d', epoch), 'until',
  string.format('%d', now_ms + tonumber(ARGV[2])), 'lease', ARGV[2])
return {'ok', string.format('%d', epoch)}
