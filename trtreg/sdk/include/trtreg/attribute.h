// Attributes: an author names each member once; reading, checking, defaults and serialisation follow from that.
#ifndef TRTREG_ATTRIBUTE_H
#define TRTREG_ATTRIBUTE_H

#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "trtreg/error.h"

namespace TRTREG_NAMESPACE {

namespace detail {

using FieldType = abi::PluginFieldType;

inline char const* name_of(FieldType type) {
  static constexpr char const* kNames[] = {"float16", "float32", "float64", "int8",  "int16", "int32", "char",
                                           "dims",    "unknown", "bf16",    "int64", "fp8",   "int4",  "fp4"};
  auto const index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

template <typename T>
constexpr FieldType field_type() {
  if constexpr (std::is_same_v<T, float>) return FieldType::kFLOAT32;
  if constexpr (std::is_same_v<T, int32_t>) return FieldType::kINT32;
  if constexpr (std::is_same_v<T, int64_t>) return FieldType::kINT64;
  if constexpr (std::is_same_v<T, char>) return FieldType::kCHAR;
}

template <typename To, typename From>
To convert_one(From from) {
  if constexpr (std::is_integral_v<To>) {
    if constexpr (std::is_floating_point_v<From>) {
      require(std::isfinite(from) && from == std::floor(from) && std::fabs(from) < 9e15, from, " is not an integer");
    }
    auto const wide = static_cast<int64_t>(from);
    require(wide >= static_cast<int64_t>(std::numeric_limits<To>::min()) &&
                wide <= static_cast<int64_t>(std::numeric_limits<To>::max()),
            wide, " is out of range");
    return static_cast<To>(wide);
  } else {
    return static_cast<To>(from);
  }
}

// A field's numbers as `To`, whatever number type the exporter wrote: exporters disagree about it.
template <typename To>
std::vector<To> read_field(abi::PluginField const& field) {
  require(field.length >= 0 && (field.data || field.length == 0), "a field without data");
  std::vector<To> values(static_cast<size_t>(field.length));
  auto const copy = [&](auto zero) {
    using From = decltype(zero);
    for (size_t i = 0; i < values.size(); ++i) {
      From from;  // fields need not be aligned
      std::memcpy(&from, static_cast<char const*>(field.data) + i * sizeof(From), sizeof(From));
      values[i] = convert_one<To>(from);
    }
  };
  switch (field.type) {
    case FieldType::kFLOAT32:
      copy(float{});
      break;
    case FieldType::kFLOAT64:
      copy(double{});
      break;
    case FieldType::kINT8:
      copy(int8_t{});
      break;
    case FieldType::kINT16:
      copy(int16_t{});
      break;
    case FieldType::kINT32:
      copy(int32_t{});
      break;
    case FieldType::kINT64:
      copy(int64_t{});
      break;
    default:
      throw Error(std::string("found type ") + name_of(field.type) + ", expected numbers");
  }
  return values;
}

inline std::string read_text(abi::PluginField const& field) {
  require(field.type == FieldType::kCHAR, "found type ", name_of(field.type), ", expected char");
  std::string text(static_cast<char const*>(field.data), field.data ? static_cast<size_t>(field.length) : 0);
  return text.substr(0, text.find('\0'));  // some exporters count the terminator
}

// How a member of each kind is seen: its elements, their number (0: any), and how values are stored into it.
template <typename Member>
struct MemberTraits {  // one number
  using Element = Member;
  static constexpr int32_t kLength = 1;
  static Element const* data(Member const& member) { return &member; }
  static size_t size(Member const&) { return 1; }
  static void store(Member& member, std::vector<Element> const& values) {
    require(values.size() == 1, "found ", values.size(), " values, expected 1");
    member = values[0];
  }
};

template <typename T, size_t N>
struct MemberTraits<std::array<T, N>> {  // a list of fixed length; a single number stands for all
  using Element = T;
  static constexpr int32_t kLength = N;
  static Element const* data(std::array<T, N> const& member) { return member.data(); }
  static size_t size(std::array<T, N> const&) { return N; }
  static void store(std::array<T, N>& member, std::vector<T> const& values) {
    require(values.size() == N || values.size() == 1, "found ", values.size(), " values, expected ", N);
    for (size_t i = 0; i < N; ++i) member[i] = values[values.size() == 1 ? 0 : i];
  }
};

template <typename T>
struct MemberTraits<std::vector<T>> {  // a list of any length
  using Element = T;
  static constexpr int32_t kLength = 0;
  static Element const* data(std::vector<T> const& member) { return member.data(); }
  static size_t size(std::vector<T> const& member) { return member.size(); }
  static void store(std::vector<T>& member, std::vector<T> const& values) { member = values; }
};

template <>
struct MemberTraits<std::string> {
  using Element = char;
  static constexpr int32_t kLength = 0;
  static Element const* data(std::string const& member) { return member.data(); }
  static size_t size(std::string const& member) { return member.size(); }
};

}  // namespace detail

// One named member of a plugin, as bound by Attributes::add.
class Attribute {
 public:
  std::string name;
  std::vector<std::string> aliases;
  abi::PluginFieldType type;
  int32_t length;  // 0: any

  // Another spelling of the same attribute.
  Attribute& alias(char const* other) {
    aliases.emplace_back(other);
    return *this;
  }
  // Every value lies in [low, high].
  Attribute& between(double low, double high) {
    low_ = low;
    high_ = high;
    return *this;
  }
  Attribute& at_least(double low) { return between(low, std::numeric_limits<double>::infinity()); }
  Attribute& finite() { return between(std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max()); }
  // The node must have it: there is no default.
  Attribute& required() {
    is_required = true;
    return *this;
  }

  void assign(abi::PluginField const& field) {
    try {
      assign_(field);
      check();
    } catch (Error const& error) {
      throw Error("attribute '" + name + "': " + error.what());
    }
  }
  abi::PluginField field() const { return field_(); }
  std::string json() const { return json_(); }

  bool is_required{false};

 private:
  friend class Attributes;

  void check() const {
    if (!is_number_) return;
    for (double const value : numbers_()) {
      require(value >= low_ && value <= high_, "found ", value, ", expected a value in [", low_, ", ", high_, "]");
    }
  }

  bool is_number_{false};
  double low_{-std::numeric_limits<double>::infinity()};
  double high_{std::numeric_limits<double>::infinity()};
  std::function<void(abi::PluginField const&)> assign_;
  std::function<abi::PluginField()> field_;
  std::function<std::vector<double>()> numbers_;
  std::function<std::string()> json_;
};

inline std::string quoted(std::string const& text) {
  std::string out = "\"";
  for (char const c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// The attributes of one plugin, bound to its members.
class Attributes {
 public:
  // `member`: int32_t, int64_t, float, std::string, or std::array / std::vector of a number.
  template <typename Member>
  Attribute& add(char const* name, Member& member) {
    using Traits = detail::MemberTraits<Member>;
    using Element = typename Traits::Element;
    auto entry = std::make_unique<Attribute>();
    entry->name = name;
    entry->type = detail::field_type<Element>();
    entry->length = Traits::kLength;
    Attribute const* self = entry.get();
    entry->field_ = [self, &member] {
      return abi::PluginField{self->name.c_str(), Traits::data(member), self->type,
                              static_cast<int32_t>(Traits::size(member))};
    };
    if constexpr (std::is_same_v<Member, std::string>) {
      entry->assign_ = [&member](abi::PluginField const& field) { member = detail::read_text(field); };
      entry->json_ = [&member] { return quoted(member); };
    } else {
      entry->is_number_ = true;
      entry->assign_ = [&member](abi::PluginField const& field) {
        Traits::store(member, detail::read_field<Element>(field));
      };
      entry->numbers_ = [&member] {
        return std::vector<double>(Traits::data(member), Traits::data(member) + Traits::size(member));
      };
      entry->json_ = [&member] { return json_list(Traits::data(member), Traits::size(member)); };
    }
    entries_.push_back(std::move(entry));
    return *entries_.back();
  }

  std::vector<std::unique_ptr<Attribute>> const& entries() const { return entries_; }

  // Stores what `fields` gives, checks it, and sees that nothing required is absent.
  void assign(abi::PluginFieldCollection const& fields) {
    for (auto const& entry : entries_) {
      abi::PluginField const* found = nullptr;
      for (int32_t i = 0; i < fields.nbFields; ++i) {
        abi::PluginField const& field = fields.fields[i];
        if (!matches(*entry, field.name)) continue;
        require(!found, "attribute '", entry->name, "' is given twice, as '", found ? found->name : "", "' and '",
                field.name, "'");
        found = &field;
      }
      require(found || !entry->is_required, "attribute '", entry->name, "' is missing");
      if (found) entry->assign(*found);
    }
  }

  bool has(char const* name) const {
    for (auto const& entry : entries_) {
      if (matches(*entry, name)) return true;
    }
    return false;
  }

 private:
  static bool matches(Attribute const& entry, char const* name) {
    if (!name) return false;
    if (entry.name == name) return true;
    for (auto const& alias : entry.aliases) {
      if (alias == name) return true;
    }
    return false;
  }

  template <typename T>
  static std::string json_list(T const* values, size_t count) {
    std::string text = "[";
    for (size_t i = 0; i < count; ++i) {
      char buffer[32];
      if constexpr (std::is_integral_v<T>) {
        std::snprintf(buffer, sizeof buffer, "%lld", static_cast<long long>(values[i]));
      } else {
        std::snprintf(buffer, sizeof buffer, "%.9g", static_cast<double>(values[i]));
      }
      text += (i ? ", " : "") + std::string(buffer);
    }
    return text + "]";
  }

  std::vector<std::unique_ptr<Attribute>> entries_;
};

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_ATTRIBUTE_H
