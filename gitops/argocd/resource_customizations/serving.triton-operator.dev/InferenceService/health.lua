-- The conditions follow kstatus: Reconciling is in progress, Stalled has failed, Ready is current.
local hs = { status = "Progressing", message = "Waiting for the operator to look at this generation" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- A canary that waits may be about to end, as the spec asks for another revision by now; then it is not waited for.
if conditions.Reconciling == nil or conditions.Reconciling.reason ~= "CanaryPaused" then
  conditions.CanaryPaused = nil
end

local order = {
  { "Stalled", "Degraded" },
  { "Suspended", "Suspended" },
  { "CanaryPaused", "Suspended" },
  { "Reconciling", "Progressing" },
  { "Ready", "Healthy" },
}
for _, pair in ipairs(order) do
  local condition = conditions[pair[1]]
  if condition ~= nil and condition.status == "True" then
    hs.status = pair[2]
    hs.message = condition.reason .. ": " .. condition.message
    return hs
  end
end

if conditions.Ready ~= nil then
  hs.message = conditions.Ready.reason .. ": " .. conditions.Ready.message
end
return hs
