-- Reads, at one moment, all that a step on one market may depend on. Writes nothing.
-- KEYS[1]  identity
-- KEYS[2]  trading enabled
-- KEYS[3]  reconciled
-- KEYS[4]  limits
-- KEYS[5]  P&L of the day
-- KEYS[6]  breaker
-- KEYS[7]  breaker since
-- KEYS[8]  failed orders
-- KEYS[9]  the market's revision
-- KEYS[10] the market's orders
-- KEYS[11] transactions of the hour
-- KEYS[12] the market's foreign bets
-- KEYS[13] markets in which nothing is placed
-- KEYS[14] the market's facts
-- KEYS[15] the account
-- KEYS[16] what the exchange holds, by market
-- KEYS[17] its sum in pennies
-- KEYS[18...] signal records, then order records asked for beside the market's own
-- ARGV[1]  prefix of an order's key
-- ARGV[2]  breaker window in seconds
-- ARGV[3]  number of signal records among the keys
-- ARGV[4]  the market's id
-- ARGV[5...] fields of the account
-- A record of another type reads as a text that is no record, a control of another type as what lets nothing through.
local time = redis.call('TIME')
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local function get(key, name)
  local value
  if name then
    value = redis.pcall('HGET', key, name)
  else
    value = redis.pcall('GET', key)
  end
  if type(value) == 'table' then
    return '!of another type'
  end
  return value
end
local function hash(key, otherwise)
  local value = redis.pcall('HGETALL', key)
  return value.err and otherwise or value
end
local reconciled = get(KEYS[3])
local lower = failures_from(time, ARGV[2], get(KEYS[7]))
local wanted = {}
local members = redis.pcall('SMEMBERS', KEYS[10])
for _, id in ipairs(members.err and { '!' } or members) do
  wanted[#wanted + 1] = ARGV[1] .. id
end
local signals = {}
for at = 18, #KEYS do
  if at <= 17 + ARGV[3] then
    signals[at - 17] = get(KEYS[at])
  else
    wanted[#wanted + 1] = KEYS[at]
  end
end
local orders = {}
for at, key in ipairs(wanted) do
  orders[at] = get(key)
end
if members.err then
  orders[1] = '!of another type'
end
local account = redis.pcall('HMGET', KEYS[15], unpack(ARGV, 5))
local failures = redis.pcall('ZCOUNT', KEYS[8], lower, '+inf')
return {
  time[1],
  time[2],
  get(KEYS[1]),
  get(KEYS[2]),
  reconciled and string.sub(reconciled, 1, #run) == run and 1 or 0,
  hash(KEYS[4], {}),
  get(KEYS[5]),
  hash(KEYS[6], { 'reason', 'its record in Redis is of another type' }),
  lower,
  type(failures) == 'table' and 0 or failures,
  get(KEYS[9]),
  signals,
  orders,
  get(KEYS[11]),
  hash(KEYS[12], { '!', '!of another type' }),
  get(KEYS[13], ARGV[4]) or '',
  get(KEYS[14]) or '',
  account.err and {} or account,
  get(KEYS[16], ARGV[4]) or '',
  string.format('%.0f', held_total(KEYS[17], KEYS[16])),
}
