-- Trips the breaker when its condition holds and it is closed; returns the number of failures, or 0.
-- KEYS: breaker, since, trading, failed orders.  ARGV: threshold, window in s, message, ISO time, kill-switch channel.
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
