-- Asks the operator by an annotation, REVISION/ID: the object as it was tells this request from others.
local status = obj.status or {}
local revision = (actionParams or {}).revision or ""
if revision == "" then
  revision = (status.warm or {}).name
end
if revision == nil then
  error("name the revision to go back to: kubectl triton history lists them", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["serving.triton-operator.dev/undo"] = revision .. "/" .. obj.metadata.resourceVersion
return obj
