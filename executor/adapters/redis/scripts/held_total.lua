-- What the exchange holds over all markets, in pennies, the one place for its rule. Put before scripts that ask; no script itself.
-- The sum that each commit keeps; where that is missing or no number, the sum of what is written down by market.
local function pennies(text)
  return math.floor((tonumber(text or '0') or 0) * 100 + 0.5)
end
local function sum_held(hash)
  local amounts = redis.pcall('HVALS', hash)
  local sum = 0
  for _, amount in ipairs(amounts.err and {} or amounts) do
    sum = sum + pennies(amount)
  end
  return sum
end
local function held_total(total, hash)
  local kept = redis.pcall('GET', total)
  local whole = type(kept) == 'string' and #kept < 16 and string.match(kept, '^%-?%d+$')
  return whole and tonumber(whole) or sum_held(hash)
end
