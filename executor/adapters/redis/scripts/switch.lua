-- Throws the kill switch, or releases it, which also closes the breaker.
-- A Redis without memory refuses a script whose first write needs some, and lets one go on that began by freeing: DEL.
-- KEYS[1]  trading enabled
-- KEYS[2]  breaker
-- KEYS[3]  breaker since
-- KEYS[4]  notices
-- ARGV[1]  the switch: true or false
-- ARGV[2]  kill-switch channel
-- ARGV[3]  message for the channel
-- ARGV[4]  most notices
-- ARGV[5...] the notice
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[1] == 'true' then
  local time = redis.call('TIME')
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[3], string.format('%.3f', time[1] + time[2] / 1000000))
end
notice(KEYS[4], ARGV[4], unpack(ARGV, 5))
redis.call('PUBLISH', ARGV[2], ARGV[3])
