-- An action is enabled where the operator would take it; it says what became of it in an event.
local status = obj.status or {}
local canary = status.canary or {}
local stable = status.stable or {}
local warm = status.warm or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready or { status = "Unknown", reason = "" }
local paused = conditions.CanaryPaused or { status = "False", reason = "" }

-- The status must be of this spec, and the operator must be able to read that.
local known = status.observedGeneration == obj.metadata.generation
  and obj.metadata.deletionTimestamp == nil
  and ready.reason ~= "InvalidSpec"

local suspended = conditions.Suspended ~= nil
-- Another revision is looked up meanwhile, which is going to end what is under way.
local resolving = ready.reason == "Resolving"

local waits = paused.status == "True" and not resolving
local tried = {
  CanaryProgressing = true,
  SurgeExhausted = true,
  RouteNotAccepted = true,
  InvalidQuery = true,
}
local trial = canary.name ~= nil and status.rollout ~= nil and (waits or tried[ready.reason] == true)
local before_the_end = trial and status.rollout.step < status.rollout.steps
local update = canary.name ~= nil and stable.name ~= nil and status.rejected == nil and not resolving
local unread = status.lastFailure ~= nil and status.lastFailure.revision == nil and ready.status ~= "True"
local pods = ((status.stable or canary).replicas or 0) > 0

local actions = {}
local function offer(name, icon, enabled)
  actions[name] = { disabled = not (known and enabled), iconClass = "fa fa-fw " .. icon }
end
offer("promote", "fa-play-circle", trial and waits)
offer("promote-full", "fa-fast-forward", trial)
offer("skip-step", "fa-step-forward", before_the_end or (trial and paused.reason == "CanaryPauseStep"))
offer("pause", "fa-pause-circle", trial and not waits)
offer("resume", "fa-play", trial and (paused.reason == "UserRequested" or paused.reason == "Inconclusive"))
offer("abort", "fa-times-circle", update)
offer("retry", "fa-redo", status.rejected ~= nil or unread)
offer("undo", "fa-undo", stable.name ~= nil)
offer("restart", "fa-sync", pods)
offer("refresh", "fa-search", not suspended and not resolving)
-- The status names only the revision that is kept warm; kubectl triton history lists the others.
actions["undo"].params = { { name = "revision", default = warm.name or "" } }
return actions
