local phase = "Pending"
if obj.status ~= nil and obj.status.phase ~= nil then
    phase = obj.status.phase
end

-- A stop is final: there is nothing that takes it back, and nothing to pause or resume after it.
local over = obj.spec.stopRequested or obj.metadata.deletionTimestamp ~= nil
    or phase == "Stopping" or phase == "Stopped" or phase == "Completed" or phase == "Failed"

-- Nothing would make an adopted Pod again, so the API server refuses to pause it.
local bare = obj.spec.workloadRef ~= nil and obj.spec.workloadRef.kind == "Pod"
local paused = obj.spec.paused or false

local actions = {}
actions["stop"] = {["disabled"] = over, ["iconClass"] = "fa fa-fw fa-stop", ["displayName"] = "Stop for good"}
actions["pause"] = {["disabled"] = over or paused or bare, ["iconClass"] = "fa fa-fw fa-pause"}
actions["resume"] = {["disabled"] = over or not paused, ["iconClass"] = "fa fa-fw fa-play"}

return actions
