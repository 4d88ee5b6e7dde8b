-- Argo CD's health of a SmallModel, from its conditions (docs/reference/conditions.md).
-- Without a status, or with one of an older generation, nothing is known yet.
local health = { status = "Progressing", message = "Waiting for the operator" }

if obj.status == nil or obj.status.conditions == nil then
  return health
end

local generation = obj.metadata.generation
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration ~= generation then
  health.message = "Waiting for the operator to see the latest change"
  return health
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do
  if condition.observedGeneration == nil or condition.observedGeneration == generation then
    found[condition.type] = condition
  end
end

local function is(name, status)
  return found[name] ~= nil and found[name].status == status
end

local function said(name)
  local condition = found[name]
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

if is("Ready", "True") then
  health.status = "Healthy"
  health.message = said("Ready")
elseif is("Stalled", "True") then
  -- A person has to act.
  health.status = "Degraded"
  health.message = said("Stalled")
elseif is("Verified", "True") and is("Available", "False") then
  -- It answered before and does not now, and is started again without anybody's help.
  health.status = "Degraded"
  health.message = said("Available")
elseif found["Ready"] ~= nil then
  health.message = said("Ready")
end
return health
