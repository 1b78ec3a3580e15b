#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mysql/types.h"
#include "schema/schema.h"

// Values that were read on one server, as literals for a statement on another one. They mean the same whatever the
// character set and the sql_mode of the session: no literal has a backslash in it.
namespace vitrail::plan {

// A string of these bytes in this character set ("binary" too).
std::string string_literal(std::string_view charset, std::string_view bytes);

// Makes the digits of a number of each cell of BIT. Servers send what they keep in a column as bytes and what they
// compute as digits, and do not always say which it is.
//   kUnimplemented  it cannot be told from the values either.
Status make_bits_digits(std::span<const mysql::ColumnDef> columns,
                        std::vector<std::vector<std::optional<std::string>>>& rows);

// A cell of a result: what is stored when it is assigned to `target` is what the column of the result would have been
// stored as. Numbers are expected with all their digits (see net/binary_query.h), those of BIT too.
//   kUnimplemented  no literal is converted as a value of that type is (FLOAT to a text, ENUM to a number).
Result<std::string> result_literal(const mysql::ColumnDef& from, const std::optional<std::string>& cell,
                                   const schema::Column& target);

// A cell that was asked for by schema::select_text(), for a comparison with its column or to be stored in it.
std::string form_literal(const schema::Column& column, const std::optional<std::string>& cell);

// What a vindex takes of such a cell. kUnimplemented: how it is placed is not known here.
Result<mysql::Value> place_value(const schema::Column& column, const std::optional<std::string>& cell);

// Whether `column = form_literal(...)` finds exactly the rows with that value.
bool comparable(const schema::Column& column);

// A literal of a whole table's row is given, and not made by its server.
bool is_generated(const schema::Column& column);

}  // namespace vitrail::plan
