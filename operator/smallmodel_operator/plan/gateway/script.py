"""The Lua that Envoy runs on each request and each error.

Envoy's own filters parse the body and hold its size; what is left for Lua is to take the adapter
off the model's name, and to put errors of other programs into OpenAI's form.
"""

from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import RETRY_AFTER_SECONDS

_SCRIPT: Final = r"""
local KINDS = {
  [400] = {"invalid_request_error", "bad_request"},
  [401] = {"authentication_error", "unauthorized"},
  [403] = {"permission_error", "forbidden"},
  [404] = {"invalid_request_error", "not_found"},
  [408] = {"timeout_error", "request_timeout"},
  [413] = {"invalid_request_error", "request_too_large"},
  [429] = {"rate_limit_error", "rate_limit_exceeded"},
  [431] = {"invalid_request_error", "headers_too_large"},
  [500] = {"server_error", "internal_error"},
  [502] = {"server_error", "bad_gateway"},
  [503] = {"server_error", "service_unavailable"},
  [504] = {"server_error", "gateway_timeout"},
}
local TEXTS = {
  ["Payload Too Large"] = "The request body is larger than @LIMIT@, the limit of this gateway.",
  ["stream timeout"] = "Nothing came from the model for as long as its requestTimeout allows.",
}

-- The route is chosen again, now by the model's name without its adapter.
function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local found = metadata:get("smallmodel")
  if found == nil then
    return
  end
  local model = found["model"]
  if type(model) == "string" then
    metadata:set("smallmodel", "name", (model:gsub("@.*$", "")))
  end
  handle:clearRouteCache()
end

-- Returns text as a JSON string. Bytes that are not UTF-8 would make the whole answer invalid.
local function quoted(text)
  if text:gsub("[\194-\244][\128-\191]+", ""):find("[\128-\255]") then
    text = text:gsub("[\128-\255]", "?")
  end
  text = text:gsub('[%c"\\]', function(character)
    return string.format("\\u%04x", character:byte())
  end)
  return '"' .. text .. '"'
end

local function message_of(text, status)
  local trimmed = text:match("^%s*(.-)%s*$")
  if trimmed == "" then
    return "The request failed with status " .. status .. "."
  end
  -- Serve names the limit of the whole pool there, and not the one that ended this request.
  if trimmed:find("^Request %S+ timed out after %S+$") then
    return "The request took longer than the model's requestTimeout allows."
  end
  return TEXTS[trimmed] or trimmed
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if status < "400" or headers:get("content-encoding") ~= nil then
    return
  end
  if (status == "429" or status == "503") and headers:get("retry-after") == nil then
    headers:add("retry-after", "@RETRY@")
  end
  local body = handle:body(true)
  local text = body:getBytes(0, body:length())
  -- Waiting for the body ended the life of the first object.
  headers = handle:headers()
  local content_type = headers:get("content-type") or ""
  if content_type:find("json", 1, true) and text:find('"error"', 1, true) then
    return
  end
  local number = tonumber(status)
  local code = nil
  -- HAProxy's page for a replica that ended without an answer: Ray makes it 500, but asking again
  -- helps, so it is 503. Serve's own pages have a charset in their type.
  if number == 500 and content_type == "text/plain" and text == "Internal Server Error" then
    number, code = 503, "@DIED@"
    text = "The model's replica ended before it answered. It is being replaced: ask again."
    headers:replace(":status", "503")
    headers:replace("retry-after", "@RETRY@")
  end
  local kind = KINDS[number] or {number < 500 and "invalid_request_error" or "server_error"}
  headers:replace("content-type", "application/json")
  body:setBytes('{"error":{"message":' .. quoted(message_of(text, status))
    .. ',"type":' .. quoted(kind[1]) .. ',"param":null,"code":'
    .. ((code or kind[2]) and quoted(code or kind[2]) or "null") .. '}}\n')
end
"""


def build_script(body_limit: int) -> str:
    """Return the script for a gateway with that limit, in bytes, on request bodies."""
    return (
        _SCRIPT.strip()
        .replace("@LIMIT@", human_bytes(body_limit))
        .replace("@RETRY@", str(RETRY_AFTER_SECONDS))
        .replace("@DIED@", Reason.ENGINE_DIED)
        + "\n"
    )
