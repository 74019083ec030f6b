-- The status is in kstatus format; the same script serves AgentTask, StopOrder and ClusterStopOrder.
-- What each condition means: https://github.com/agentstop/agentstop/blob/main/docs/lifecycle.md#conditions
local hs = {status = "Progressing", message = "Waiting for agentstop"}

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
    return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
    if condition.status == "True" then
        conditions[condition.type] = condition
    end
end

if conditions["Stalled"] ~= nil then
    hs.status = "Degraded"
    hs.message = conditions["Stalled"].reason .. ": " .. conditions["Stalled"].message
elseif conditions["Reconciling"] ~= nil then
    hs.message = conditions["Reconciling"].message
elseif conditions["Ready"] ~= nil then
    hs.status = "Healthy"
    if status.phase == "Paused" then
        hs.status = "Suspended"
    end
    hs.message = conditions["Ready"].message
end

return hs
