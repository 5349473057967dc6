#!lua flags=allow-oom
-- KEYS: writer, run, bytes   ARGV: epoch, n_frames, run_id, file, host
-- The file is the truth: a server that forgot learns from it what is on disk already.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {'fenced'} end
local f = redis.call('HMGET', KEYS[2], 'next', 'watermark', 'refusal', 'bytes', 'priority')
if not f[1] then return {'unknown'} end
local bytes = string.match(f[4] or '', '^%d+$')
if (f[3] or '') ~= '' and bytes and (f[5] == 'live' or f[5] == 'bulk') then  -- see refuse
  redis.pcall('HINCRBY', KEYS[3], 'refused', '-' .. bytes)
  redis.pcall('HINCRBY', KEYS[3], f[5], bytes)
end
local n = tonumber(ARGV[2])
redis.call('HSET', KEYS[2], 'next', string.format('%d', math.max(n, tonumber(f[1]) or 0)),
  'watermark', string.format('%d', math.max(n, tonumber(f[2]) or 0)),
  'run_id', ARGV[3], 'file', ARGV[4], 'host', ARGV[5], 'refusal', '')
return {'ok'}
