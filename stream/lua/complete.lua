#!lua flags=allow-oom
-- KEYS: frames, results, run, bytes, letters, models, result, blocks of frames...
-- ARGV: group, consumer, run name, first, n, bytes of the blocks, model sha, frames dead,
--       number of entries, their ids..., whether there are letters, whether they were requeued,
--       bytes that were reserved
-- The first completion of an entry becomes its result; any later one changes nothing. The result
-- and the dead letters came ahead, to be forgotten unless kept here.
local function refuse(why)
  redis.call('DEL', KEYS[5], KEYS[7])
  return why
end
if ARGV[7] ~= '' and redis.call('HEXISTS', KEYS[6], ARGV[7]) == 0 then return refuse('MODEL') end
if redis.call('EXISTS', KEYS[7]) == 0 then return 'LOST' end
local n = tonumber(ARGV[9])
local letters, again = ARGV[10 + n] == '1', ARGV[11 + n] == '1'
if letters and redis.call('EXISTS', KEYS[5]) == 0 then return 'LOST' end
local ids = {unpack(ARGV, 10, 9 + n)}
if n > 1 then  -- all of them or none: those that are this consumer's are listed in their order
  local mine = redis.pcall('XPENDING', KEYS[1], ARGV[1], ids[1], ids[n], 2 * n + 100, ARGV[2])
  if mine.err then return refuse(0) end  -- a server that came back without the group
  local found = 0
  for _, item in ipairs(mine) do
    if item[1] == ids[found + 1] then found = found + 1 end
  end
  if found < n then return refuse(0) end
end
if redis.call('XACK', KEYS[1], ARGV[1], unpack(ids)) == 0 then return refuse(0) end
redis.call('XDEL', KEYS[1], unpack(ids))
redis.call('PERSIST', KEYS[7])
local grown = redis.call('STRLEN', KEYS[7])
local more = {}
if letters then
  redis.call('PERSIST', KEYS[5])
  grown = grown + redis.call('STRLEN', KEYS[5])
  more = {'d', KEYS[5]}
end
if again then
  more[#more + 1] = 'q'
  more[#more + 1] = '1'
end
local size = tonumber(ARGV[6])
local held = string.format('%d', grown + size)
redis.call('XADD', KEYS[2], '*', 'r', ARGV[3], 'i', ARGV[4], 'n', ARGV[5], 'z', held, 'k', KEYS[7],
  'f', table.concat(KEYS, ' ', 8), unpack(more))
if again then  -- counts for the bulk, not for a run that may be forgotten
  redis.pcall('HINCRBY', KEYS[4], 'bulk', grown)
  return 1
end
local f = redis.call('HMGET', KEYS[3], 'priority', 'refusal', 'growth')
if f[1] ~= 'live' and f[1] ~= 'bulk' then return 1 end
-- what a producer put into its record by hand must not stop us here, half way: pcall
local change = grown - tonumber(ARGV[12 + n])
redis.pcall('HINCRBY', KEYS[3], 'bytes', change)
if size > 0 then  -- in thousandths: the most of late, since too little would fill the server
  local seen, known = math.ceil(1000 * grown / size), tonumber(f[3]) or 0
  local growth = math.max(seen, known - math.ceil((known - seen) / 8))
  redis.pcall('HINCRBY', KEYS[3], 'growth', growth - known)
end
if ARGV[8] ~= '0' then redis.pcall('HINCRBY', KEYS[3], 'dead', ARGV[8]) end
redis.pcall('HINCRBY', KEYS[4], (f[2] or '') == '' and f[1] or 'refused', change)
return 1
