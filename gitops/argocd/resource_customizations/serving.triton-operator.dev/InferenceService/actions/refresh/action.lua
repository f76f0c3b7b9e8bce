-- Asks the operator by an annotation, REVISION/ID: the object as it was tells this request from others.
-- The name of the service stands for the revision that the spec asks for.
local revision = obj.metadata.name
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["serving.triton-operator.dev/refresh"] = revision .. "/" .. obj.metadata.resourceVersion
return obj
