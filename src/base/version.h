#pragma once

#include <string_view>

namespace vitrail::base {

// The Vitess release whose interfaces this build offers. Tools decide by it which flags they may send.
inline constexpr std::string_view kInterfaceVersion = "24.0.0";
// The release of this project.
inline constexpr std::string_view kProjectVersion = "0.1.0";

}  // namespace vitrail::base
