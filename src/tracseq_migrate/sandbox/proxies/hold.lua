-- Writes wait in haproxy for the moment in which data changes its owner, and who switches over an epoch that is older than the
-- last one is refused. Load it with `lua-load` (not `lua-load-per-thread`: what is held must be the same for all threads).
--
-- Commands on the runtime socket:
--   tracseq status                                  what is held, for how long yet, and the epochs of the last switches
--   tracseq hold SECONDS PREFIX...                  writes whose path begins with a prefix wait from here on
--   tracseq release                                 all that waits goes on
--   tracseq switch BACKEND SCOPE EPOCH SERVER...    these servers get the requests, the others are drained
--
-- Nothing that is held needs anybody to let it go: it ends by itself after its seconds.

if core.thread ~= 0 then
    error("hold.lua must be loaded by lua-load, not by lua-load-per-thread")
end

local PAUSE = 4      -- milliseconds between two looks of a request that waits
local LONGEST = 10   -- seconds that somebody may ask for
local held = {}      -- prefix -> true
local count = 0      -- of prefixes in it
local ends = 0       -- when it ends by itself
local seconds = 0    -- that one request waits at most
local turn = 0       -- counts the holds, so that a request waits for the one that it met and for none after it
local waiting = 0    -- requests that wait now
local passed = 0     -- writes that came by
local epochs = {}    -- scope -> epoch of the last switch

local function now()
    local at = core.now()
    return at.sec + at.usec / 1000000
end

local function holding()
    return count > 0 and now() < ends
end

local function let_go()
    held, count = {}, 0
end

local function concerns(path)
    for prefix in pairs(held) do
        if path:sub(1, #prefix) == prefix then
            return true
        end
    end
    return false
end

local function pass(txn)
    passed = passed + 1
    if not holding() then
        return
    end
    local path = txn.c:url_dec(txn.f:path() or "") or ""
    if not concerns(path) then
        return
    end
    local met, came = turn, now()
    waiting = waiting + 1
    while met == turn and holding() and now() - came < seconds do
        core.msleep(PAUSE)
    end
    waiting = waiting - 1
end

local function status(applet)
    applet:send("tracseq-hold 1\n")
    applet:send(string.format("passed %d\nwaiting %d\n", passed, waiting))
    if holding() then
        for prefix in pairs(held) do
            applet:send(string.format("held %.3f %s\n", ends - now(), prefix))
        end
    end
    for scope, epoch in pairs(epochs) do
        applet:send(string.format("epoch %d %s\n", epoch, scope))
    end
end

-- The words of a command are handed over with it, its name first.
local function hold(applet, _, _, length, ...)
    local prefixes = { ... }
    length = tonumber(length or "")
    if not length or not (length > 0 and length <= LONGEST) or #prefixes == 0 then
        applet:send(string.format("refused: it needs seconds, at most %d, and prefixes\n", LONGEST))
        return
    end
    if not holding() then
        let_go()
        turn = turn + 1
    end
    for _, prefix in ipairs(prefixes) do
        if not held[prefix] then
            held[prefix] = true
            count = count + 1
        end
    end
    seconds = length
    ends = now() + length
    applet:send("done\n")
end

local function release(applet)
    let_go()
    applet:send("done\n")
end

-- No other command runs between the comparison and the change: Lua that is loaded for all threads runs in one at a time.
local function switch(applet, _, _, backend, scope, epoch, ...)
    local to, known = {}, core.backends[backend or ""]
    epoch = math.tointeger(tonumber(epoch or ""))
    if not known or not epoch then
        applet:send("refused: it needs a backend, a scope, an epoch and servers\n")
        return
    end
    for _, name in ipairs({ ... }) do
        if not known.servers[name] then
            applet:send("refused: no such server\n")
            return
        end
        to[name] = true
    end
    if next(to) == nil then
        applet:send("refused: it needs a backend, a scope, an epoch and servers\n")
        return
    end
    if epochs[scope] and epoch < epochs[scope] then
        applet:send(string.format("stale %d\n", epochs[scope]))
        return
    end
    epochs[scope] = epoch
    for name in pairs(to) do
        known.servers[name]:set_ready()
    end
    for name, server in pairs(known.servers) do
        if not to[name] then
            server:set_drain()
        end
    end
    applet:send("done\n")
end

core.register_action("tracseq_hold", { "http-req" }, pass, 0)
core.register_cli({ "tracseq", "status" }, "tracseq status                          : what is held, and the epochs of the last switches", status)
core.register_cli({ "tracseq", "hold" }, "tracseq hold SECONDS PREFIX...          : make writes below these prefixes wait", hold)
core.register_cli({ "tracseq", "release" }, "tracseq release                         : let all that waits go on", release)
core.register_cli({ "tracseq", "switch" }, "tracseq switch BACKEND SCOPE EPOCH SERVER... : give requests to these servers only", switch)
