-- One way: the API server refuses to set it back.
obj.spec.stopRequested = true
if obj.spec.stop == nil then
    obj.spec.stop = {}
end
if obj.spec.stop.message == nil then
    obj.spec.stop.message = "stopped in Argo CD"
end

return obj
