#include "sql/literal.h"

namespace vitrail::sql {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool append_string(std::string_view token, bool no_backslash_escapes, std::string& out) {
  if (token.size() < 2 || token.front() != token.back() || (token[0] != '\'' && token[0] != '"')) return false;
  const char quote = token[0];
  const std::string_view inside = token.substr(1, token.size() - 2);
  out.reserve(out.size() + inside.size());
  for (size_t i = 0; i < inside.size(); ++i) {
    const char c = inside[i];
    if (c == quote) {  // Doubled.
      out.push_back(quote);
      ++i;
      continue;
    }
    if (c != '\\' || no_backslash_escapes || i + 1 == inside.size()) {
      out.push_back(c);
      continue;
    }
    const char escaped = inside[++i];
    switch (escaped) {
      case '0': out.push_back('\0'); break;
      case 'b': out.push_back('\b'); break;
      case 'n': out.push_back('\n'); break;
      case 'r': out.push_back('\r'); break;
      case 't': out.push_back('\t'); break;
      case 'Z': out.push_back('\x1a'); break;
      case '%':
      case '_':  // Kept for LIKE.
        out.push_back('\\');
        out.push_back(escaped);
        break;
      default: out.push_back(escaped); break;
    }
  }
  return true;
}

// x'1F', X'1F' or 0x1F; without the decoration.
bool strip_prefix(std::string_view& token, char lower_letter) {
  if (token.size() >= 3 && (token[0] | 0x20) == lower_letter && token[1] == '\'' && token.back() == '\'') {
    token = token.substr(2, token.size() - 3);
    return true;
  }
  if (token.size() >= 3 && token[0] == '0' && token[1] == lower_letter) {
    token = token.substr(2);
    return true;
  }
  return false;
}

bool append_hex(std::string_view token, std::string& out) {
  if (!strip_prefix(token, 'x')) return false;
  size_t i = 0;
  if (token.size() % 2 != 0) {  // 0xF is 0x0F.
    const int low = hex_value(token[i++]);
    if (low < 0) return false;
    out.push_back(static_cast<char>(low));
  }
  for (; i < token.size(); i += 2) {
    const int high = hex_value(token[i]);
    const int low = hex_value(token[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<char>(high * 16 + low));
  }
  return true;
}

bool append_bits(std::string_view token, std::string& out) {
  if (!strip_prefix(token, 'b')) return false;
  uint8_t byte = 0;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '0' && token[i] != '1') return false;
    byte = static_cast<uint8_t>(byte << 1 | (token[i] - '0'));
    if ((token.size() - i) % 8 == 1) {
      out.push_back(static_cast<char>(byte));
      byte = 0;
    }
  }
  return true;
}

}  // namespace

bool append_bytes(TokenType type, std::string_view token, bool no_backslash_escapes, std::string& out) {
  switch (type) {
    case TokenType::kString: return append_string(token, no_backslash_escapes, out);
    case TokenType::kNationalString:
      return token.size() >= 3 && append_string(token.substr(1), no_backslash_escapes, out);
    case TokenType::kHex: return append_hex(token, out);
    case TokenType::kBit: return append_bits(token, out);
    default: return false;
  }
}

std::optional<uint64_t> integer_value(std::string_view token) {
  if (token.empty()) return std::nullopt;
  uint64_t value = 0;
  for (char c : token) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (UINT64_MAX - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

std::optional<std::string> string_value(const Literal& literal, bool no_backslash_escapes) {
  TokenType type;
  switch (literal.literal) {
    case LiteralKind::kString:
    case LiteralKind::kDate:
    case LiteralKind::kTime:
    case LiteralKind::kTimestamp: type = TokenType::kString; break;
    case LiteralKind::kNationalString: type = TokenType::kNationalString; break;
    case LiteralKind::kHex: type = TokenType::kHex; break;
    case LiteralKind::kBit: type = TokenType::kBit; break;
    default: return std::nullopt;
  }
  std::string out;
  if (!append_bytes(type, literal.text, no_backslash_escapes, out)) return std::nullopt;
  for (std::string_view part : literal.more) {
    if (!append_bytes(TokenType::kString, part, no_backslash_escapes, out)) return std::nullopt;
  }
  return out;
}

std::string quote_string(std::string_view bytes, bool no_backslash_escapes) {
  std::string out;
  out.reserve(bytes.size() + 2);
  out.push_back('\'');
  for (char c : bytes) {
    if (c == '\'') {
      out += "''";
    } else if (no_backslash_escapes) {
      out.push_back(c);
    } else {
      switch (c) {
        case '\\': out += "\\\\"; break;
        case '\0': out += "\\0"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\x1a': out += "\\Z"; break;
        default: out.push_back(c); break;
      }
    }
  }
  out.push_back('\'');
  return out;
}

}  // namespace vitrail::sql
