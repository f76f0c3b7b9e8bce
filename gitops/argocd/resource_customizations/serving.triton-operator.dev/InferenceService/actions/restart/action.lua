-- Asks the operator by an annotation, REVISION/ID: the object as it was tells this request from others.
local status = obj.status or {}
local stable = status.stable or {}
local revision = (stable.replicas or 0) > 0 and stable.name or (status.canary or {}).name or stable.name
if revision == nil then
  error("no revision has pods that could be restarted", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["serving.triton-operator.dev/restart"] = revision .. "/" .. obj.metadata.resourceVersion
return obj
