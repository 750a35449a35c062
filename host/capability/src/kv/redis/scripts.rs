//! The scripts. Times come from the caller's clock: what has ended is gone for every operation from that millisecond on,
//! and its space is given back by the writes that follow.

use std::sync::LazyLock;

use redis::Script;

/// What all scripts begin with.
const COMMON: &str = r"
local values, versions, ends, order, sequence = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now = tonumber(ARGV[1])
local function ended(key)
    local at = redis.call('ZSCORE', ends, key)
    return at and tonumber(at) <= now
end
local function found(key)
    if ended(key) then return false end
    local value = redis.call('HGET', values, key)
    if not value then return false end
    local at = redis.call('ZSCORE', ends, key)
    return {value, redis.call('HGET', versions, key), at and string.format('%.0f', tonumber(at)) or ''}
end
local function remove(key)
    redis.call('HDEL', values, key)
    redis.call('HDEL', versions, key)
    redis.call('ZREM', ends, key)
    redis.call('ZREM', order, key)
end
local function written(key)
    redis.call('HSET', versions, key, redis.call('INCR', sequence))
    redis.call('ZADD', order, 0, key)
end
local function put(key, value, at)
    redis.call('HSET', values, key, value)
    written(key)
    if at == '' then redis.call('ZREM', ends, key) else redis.call('ZADD', ends, at, key) end
end
local function sweep()
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 200)) do remove(key) end
end
";

fn script(body: &str) -> Script {
    Script::new(&format!("{COMMON}{body}"))
}

/// Keys; for each what it holds, or nothing.
pub(super) static GET: LazyLock<Script> =
    LazyLock::new(|| script("local all = {} for i = 2, #ARGV do all[#all + 1] = found(ARGV[i]) end return all"));

/// Writes, each of four words.
pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| {
    script(
        "sweep()
        for i = 2, #ARGV, 4 do
            if ARGV[i] == 'set' then put(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) else remove(ARGV[i + 1]) end
        end",
    )
});

/// A key, the version that it is to have or nothing, a value and its end. Whether it was written, and what is there if
/// not.
pub(super) static COMPARE_AND_SET: LazyLock<Script> = LazyLock::new(|| {
    script(
        "sweep()
        local current = found(ARGV[2])
        if (current and current[2] or '') ~= ARGV[3] then return {0, current} end
        put(ARGV[2], ARGV[4], ARGV[5])
        return {1, false}",
    )
});

/// A key and what is to be added. The sum, or nothing if there is none.
pub(super) static INCREMENT: LazyLock<Script> = LazyLock::new(|| {
    script(
        "sweep()
        local key = ARGV[2]
        if ended(key) then remove(key) end
        local sum = redis.pcall('HINCRBY', values, key, ARGV[3])
        if type(sum) == 'table' and sum.err then
            if string.find(sum.err, 'integer') or string.find(sum.err, 'overflow') then return false end
            return sum
        end
        written(key)
        return redis.call('HGET', values, key)",
    )
});

/// The first and last place, and how many. Keys in the order of their bytes.
pub(super) static LIST: LazyLock<Script> = LazyLock::new(|| {
    script(
        "local keys, first, limit = {}, ARGV[2], tonumber(ARGV[4])
        while #keys < limit do
            local page = redis.call('ZRANGEBYLEX', order, first, ARGV[3], 'LIMIT', 0, limit)
            for _, key in ipairs(page) do
                if #keys < limit and not ended(key) then keys[#keys + 1] = key end
            end
            if #page < limit then break end
            first = '(' .. page[#page]
        end
        return keys",
    )
});
