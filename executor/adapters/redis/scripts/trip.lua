-- Trips the breaker when its condition holds and it is closed.
-- KEYS[1]  breaker
-- KEYS[2]  since: the last success, trip or reset
-- KEYS[3]  trading enabled
-- KEYS[4]  failed orders
-- ARGV[1]  threshold
-- ARGV[2]  window in seconds
-- ARGV[3]  message for the channel
-- ARGV[4]  ISO time
-- ARGV[5]  kill-switch channel
-- Returns the number of failures, or 0.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = redis.call('TIME')[1]
local lower = now - ARGV[2]
local since = tonumber(redis.call('GET', KEYS[2]) or '')
local low = string.format('%.3f', lower)
-- A success that is still to come would hide every failure until then.
if since and since > lower and since <= now + 1 then low = string.format('(%.3f', since) end
local count = redis.call('ZCOUNT', KEYS[4], low, '+inf')
if count < tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'time', ARGV[4], 'failures', count, 'reason', 'found by the watchdog')
redis.call('SET', KEYS[2], now)
redis.call('SET', KEYS[3], 'false')
redis.call('PUBLISH', ARGV[5], ARGV[3])
return count
