-- Throws the kill switch, or releases it, which also closes the breaker.
-- A Redis without memory refuses a script whose first write needs some, and lets one go on that began by freeing: DEL.
-- KEYS[1]  trading enabled
-- KEYS[2]  breaker
-- KEYS[3]  breaker since
-- KEYS[4]  halted: who switched it off, and why
-- KEYS[5]  notices
-- ARGV[1]  the switch: true or false
-- ARGV[2]  kill-switch channel
-- ARGV[3]  message for the channel
-- ARGV[4]  ISO time
-- ARGV[5]  reason
-- ARGV[6]  who
-- ARGV[7]  most notices
-- ARGV[8...] the notice
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[1] == 'true' then
  local time = redis.call('TIME')
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[3], string.format('%.3f', time[1] + time[2] / 1000000))
  redis.call('DEL', KEYS[4])
else
  redis.call('DEL', KEYS[4])
  redis.call('HSET', KEYS[4], 'at', ARGV[4], 'reason', ARGV[5], 'by', ARGV[6])
end
notice(KEYS[5], ARGV[7], unpack(ARGV, 8))
redis.call('PUBLISH', ARGV[2], ARGV[3])
