#!lua
-- KEYS: run, frames, bytes, block, gates   ARGV: epoch, first, n, mark, run name, priority
-- Accepts a block once, or nothing at all. The block came ahead, to be forgotten unless kept here.
local f = redis.call('HMGET', KEYS[1], 'epoch', 'next', 'sealed', 'bytes', 'refusal', 'growth')
local function refuse(...)
  redis.call('DEL', KEYS[4])
  return {...}
end
if not f[1] then return refuse('unknown') end
-- epochs only rise: a lower one is of a server that went back behind the opening
if tonumber(f[1]) < tonumber(ARGV[1]) then return refuse('unknown') end
if f[1] ~= ARGV[1] then return refuse('fenced') end
if f[5] ~= '' then return refuse('refused', f[5]) end
if f[3] ~= '' then return refuse('sealed', f[3]) end
local first, n = tonumber(ARGV[2]), tonumber(ARGV[3])
if first ~= tonumber(f[2]) then return refuse('expect', f[2]) end
local shut = redis.call('HMGET', KEYS[5], '*', ARGV[5])
if shut[1] then return refuse('draining') end
if shut[2] then return refuse('paused') end
if redis.call('EXISTS', KEYS[4]) == 0 then return {'lost'} end
local size, mark, held = redis.call('STRLEN', KEYS[4]), tonumber(ARGV[4]), tonumber(f[4])
-- room for the results that it will become is taken now: see complete
local reserved = math.ceil(size * (tonumber(string.match(f[6] or '', '^%d+$')) or 0) / 1000)
local need = size + reserved
local b = redis.call('HMGET', KEYS[3], ARGV[6], 'refused')
-- what refused runs hold is nobody else's business, but the server's memory is
local class = tonumber(b[1] or '0') + math.max(0, tonumber(b[2] or '0') - 4 * mark)
-- a block larger than the mark passes when the run holds nothing: it would never pass otherwise
if held > 0 and held + need > mark then return refuse('full', f[4]) end
if class > 0 and class + need > 4 * mark then
  return refuse('crowded', string.format('%d', class))
end
redis.call('PERSIST', KEYS[4])
redis.call('XADD', KEYS[2], '*', 'r', ARGV[5], 'i', ARGV[2], 'n', ARGV[3], 'k', KEYS[4],
  'g', string.format('%d', reserved))
local reached = string.format('%d', first + n)
redis.call('HSET', KEYS[1], 'next', reached, 'bytes', string.format('%d', held + need))
redis.call('HINCRBY', KEYS[3], ARGV[6], need)
return {'ok', reached}
