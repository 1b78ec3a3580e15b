#pragma once

#include <cstdint>
#include <string_view>

namespace vitrail::gate {

// How far a statement came that a server answered with this error.
//
// With autocommit = 0 a transaction begins when a storage engine hears of a statement, and what SET TRANSACTION said of
// the next one is used up then: both also by a statement that fails behind that point (a duplicate key, a column that
// is not there), and by none that fails ahead of it (what cannot be read, a table that is not there, a transaction that
// only reads).
bool failed_ahead_of_tables(uint16_t code);

// CHECKSUM TABLE, which alone of its kin reads in the open transaction and ends none.
bool is_checksum(std::string_view text);

}  // namespace vitrail::gate
