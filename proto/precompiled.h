// What most sources read from outside, for a precompiled header. Nothing of ours: that changes too often.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "binlogdata.pb.h"
#include "query.pb.h"
#include "tabletmanagerdata.pb.h"
#include "topodata.pb.h"
#include "vschema.pb.h"
#include "vtctldata.pb.h"
