-- Asks the operator by an annotation, REVISION/ID: the object as it was tells this request from others.
local status = obj.status or {}
-- Where no revision was rejected a source could not be read, and the name of the service stands for the revision.
local revision = (status.rejected or {}).name or ""
if revision == "" then
  revision = obj.metadata.name
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["serving.triton-operator.dev/retry"] = revision .. "/" .. obj.metadata.resourceVersion
return obj
