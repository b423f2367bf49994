-- Writes a signal's record unless the message is known.
-- KEYS[1]  seen: who met the message first
-- KEYS[2]  the record
-- KEYS[3]  open signals
-- KEYS[4]  accounting feed
-- KEYS[5]  how many were recorded for validation
-- ARGV[1]  value of seen, unique to this message
-- ARGV[2]  record as JSON
-- ARGV[3]  life of seen in seconds
-- ARGV[4]  1 to renew seen, which never shortens its life
-- ARGV[5]  life of the record in seconds, 0: without end
-- ARGV[6]  score among the open signals; empty: it is terminal already
-- ARGV[7]  value of seen for who met the record only
-- ARGV[8]  1: a malformed message under the id that its sender gave, which gives way
-- ARGV[9]  a db of this server, for: ARGV[10] a queue there, ARGV[11] what starts the signal's chain; or all empty
-- ARGV[12...] names and values of the feed's entry; none: it is not terminal
-- Returns false when written, 'started' when what starts its chain was queued, too; else what seen holds; a record that
-- outlived its seen is met by the caller, and by nobody after it, so that a repeat is told once and not lost. Returns
-- 'taken' where a malformed message is to be recorded under another id; one that has the id makes room for the signal
-- that is well formed. OWNKEY: this message can never be recorded, whatever else is; any other error is no message's own.
local seen = redis.pcall('GET', KEYS[1])
if type(seen) == 'table' then
  return redis.error_reply('OWNKEY WRONGTYPE where this signal is to be remembered')
end
if seen == ARGV[1] then
  return false
end
if not seen and redis.call('EXISTS', KEYS[2]) == 1 then
  if ARGV[8] == '1' then
    return 'taken'
  end
  local held = redis.pcall('GET', KEYS[2])
  local read, record = pcall(cjson.decode, held)
  if not (read and type(record) == 'table' and record.reason == 'MALFORMED_SIGNAL') then
    redis.call('SET', KEYS[1], ARGV[7], 'EX', ARGV[3])
    return ARGV[7]
  end
  redis.call('SET', KEYS[2] .. ':malformed', held, 'EX', ARGV[3])
end
if seen then
  if ARGV[4] == '1' and redis.call('TTL', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
  end
  return seen
end
if #ARGV > 11 then
  redis.call('XADD', KEYS[4], '*', unpack(ARGV, 12))
end
if ARGV[6] ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[6], string.sub(KEYS[2], 8))
  redis.pcall('INCR', KEYS[5]) -- junk there costs the estimate, not the signal
end
if ARGV[5] == '0' then
  redis.call('SET', KEYS[2], ARGV[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[5])
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
-- Last, as all after it would go to the other db. Where it cannot be done the caller starts the chain, or the sweep.
if ARGV[9] ~= '' and not redis.pcall('SELECT', ARGV[9]).err and type(redis.pcall('LPUSH', ARGV[10], ARGV[11])) == 'number' then
  return 'started'
end
return false
