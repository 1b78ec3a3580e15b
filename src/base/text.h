#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrail::base {

// Pieces between separators; n separators give n + 1 pieces, so "" gives one empty piece. Views into `text`.
std::vector<std::string_view> split(std::string_view text, char separator);

// As split(), but blanks around pieces are removed and empty pieces left out: "a, b,," gives {"a", "b"}.
std::vector<std::string> split_list(std::string_view text, char separator = ',');

std::string join(std::span<const std::string> pieces, std::string_view separator);

// Without blanks, tabs and line ends at both ends.
std::string_view trim(std::string_view text);

// ASCII only; other bytes stay.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);

// Appends `text` as a JSON string with its quotes. Bytes that are not valid UTF-8 become U+FFFD, so that a reader
// never refuses the document for them.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

// Number of single-character edits between two words, for "did you mean".
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace vitrail::base
