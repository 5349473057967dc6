#!lua flags=allow-oom
-- KEYS: shadows   ARGV: field, counts as JSON, field for all beyond the bound, bound, seconds
local field = ARGV[1]
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[1], field) == 0 then
  field = ARGV[3]
end
local new = cjson.decode(ARGV[2])
local held = redis.call('HGET', KEYS[1], field)
if held then
  local old = cjson.decode(held)
  for _, key in ipairs({'frames', 'skipped', 'failed', 'sites'}) do new[key] = new[key] + old[key] end
  new.max_percent = math.max(new.max_percent, old.max_percent)
  for bin, n in pairs(old.bins) do new.bins[bin] = (new.bins[bin] or 0) + n end
  new.run = old.run
end
redis.call('HSET', KEYS[1], field, cjson.encode(new))
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
