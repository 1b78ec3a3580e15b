// What most sources read, for a precompiled header: of ours only what a change of makes nearly everything anew anyway.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <compare>
#include <coroutine>
#include <cstdint>
#include <cstring>
#include <deque>
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
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "binlogdata.pb.h"
#include "net/loop.h"
#include "net/task.h"
#include "query.pb.h"
#include "tabletmanagerdata.pb.h"
#include "topodata.pb.h"
#include "vschema.pb.h"
#include "vtctldata.pb.h"
