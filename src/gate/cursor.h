#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "mysql/protocol.h"

namespace vitrail::gate {

// Where the rows of a framed response are.
struct CursorParts {
  size_t columns_end = 0;            // Behind the last column definition.
  uint8_t columns_end_sequence = 0;  // Number of the frame there.
  size_t rows_begin = 0;             // 0: the response is not one result set.
};
// `response` is one whole response, to its last byte. kInternal: it is malformed.
Result<CursorParts> split_result(std::string_view response, mysql::Capabilities capabilities);

}  // namespace vitrail::gate
