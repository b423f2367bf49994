-- Compares what was read, then writes: the one way in which signals and orders change.
-- KEYS[1], ARGV[1]: a key and the unique value that this commit gives it (by its last write); already there means that
-- the client repeats a commit whose reply was lost.  ARGV[2]: JSON {before, marked, cap, checks: [[expected, command...]], writes: [[command...]]};
-- funds {total, hash, market, most}: the total of all markets but this one must be at most so many pennies;
-- the write {"=HELD", hash, total, market, amount or ''} keeps in total, in pennies, the sum of the hash;
-- the write {"=ZCARD", target, zset} sets target to the size of zset, {"=MAX", target, number} never lowers target, {"=NOTICE", ...} is an XADD that may fail.  Returns Redis TIME in ms, or 0 when something has changed and nothing was written.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL') -- so that a WAIT on this connection has something to wait for
  return now
end
local request = cjson.decode(ARGV[2])
if request.before and now >= request.before then
  return 0
end
local function same(expected, found)
  if expected == cjson.null then
    expected = false
  end
  if type(expected) ~= 'table' then
    return expected == found
  end
  if type(found) ~= 'table' or #expected ~= #found then
    return false
  end
  for at = 1, #expected do
    if not same(expected[at], found[at]) then
      return false
    end
  end
  return true
end
for _, check in ipairs(request.checks) do
  if not same(check[1], redis.call(unpack(check, 2))) then
    return 0
  end
end
if request.cap and tonumber(redis.call('GET', request.cap[1]) or '0') > request.cap[2] then
  return 0
end
if request.funds then
  local total, hash, market, most = unpack(request.funds)
  if held_total(total, hash) - pennies(redis.call('HGET', hash, market)) > most then
    return 0
  end
end
-- A mark of an earlier run of this master says nothing: its last second may not have reached the disk, or the replica that
-- was promoted. The replication id changes with each start and each promotion, a run id only with each start.
if request.marked then
  local mark = redis.call('GET', request.marked)
  local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  if not mark or string.sub(mark, 1, #run) ~= run then
    return 0
  end
end
-- The truth is written last: a key of the wrong type stops the commit before anything that counts is changed.
for _, write in ipairs(request.writes) do
  if write[1] == '=ZCARD' then
    redis.call('SET', write[2], redis.call('ZCARD', write[3]))
  elseif write[1] == '=NOTICE' then
    redis.pcall('XADD', unpack(write, 2))
  elseif write[1] == '=HELD' then
    local _, hash, total, market, amount = unpack(write)
    local after = held_total(total, hash) + pennies(amount) - pennies(redis.call('HGET', hash, market))
    if amount == '' then
      redis.call('HDEL', hash, market)
    else
      redis.call('HSET', hash, market, amount)
    end
    redis.call('SET', total, string.format('%.0f', after))
  elseif write[1] == '=MAX' then
    local held = tonumber(redis.call('GET', write[2]) or '')
    if not held or held < tonumber(write[3]) then
      redis.call('SET', write[2], write[3])
    end
  else
    redis.call(unpack(write))
  end
end
return now
