"""What the client tells a person, in Vietnamese and English: one table, each sentence beside its twin."""

from collections.abc import Mapping
from datetime import date
from typing import Final

from forewarn_client import report_sentences
from forewarn_protocol.advice import Language

_SENTENCES: Final[Mapping[str, Mapping[Language, str]]] = {
    **report_sentences.SENTENCES,
    # Alerts. No sentence has room for a time of day, a number of people or a place: an alert must not name the F0.
    "alert.near": {
        "vi": "Ngày {day}, bạn đã ở gần một người mà sau đó có kết quả xét nghiệm dương tính: "
        "khoảng {minutes} phút, {likelihood}.",
        "en": "On {day} you were near someone who later tested positive: about {minutes} minutes, {likelihood}.",
    },
    "likelihood.likely": {"vi": "rất có thể ở trong vòng hai mét", "en": "likely within two metres"},
    "likelihood.possible": {"vi": "có thể ở trong vòng hai mét", "en": "possibly within two metres"},
    "likelihood.unlikely": {"vi": "ít có khả năng ở trong vòng hai mét", "en": "unlikely within two metres"},
    "rule.minutes": {
        "vi": "Quy tắc số phút: thời gian ước tính ở trong vòng hai mét ngày hôm đó đạt ngưỡng của cơ quan y tế.",
        "en": "The rule in minutes: the estimated time within two metres that day reached your authority's threshold.",
    },
    "rule.gaen": {
        "vi": "Quy tắc theo độ suy giảm tín hiệu: điểm của ngày hôm đó đạt ngưỡng của cơ quan y tế.",
        "en": "The rule of signal attenuation: that day's score reached your authority's threshold.",
    },
    "rule.cwa": {
        "vi": "Quy tắc của Đức theo khung thời gian tiếp xúc: mức rủi ro của ngày hôm đó đạt ngưỡng của cơ quan y tế.",
        "en": "The German rule of exposure windows: that day's risk reached your authority's threshold.",
    },
    "rule.other": {
        "vi": "Quy tắc của cơ quan y tế cho thấy ngày hôm đó cần cảnh báo.",
        "en": "Your health authority's rule says that this day calls for a warning.",
    },
    "alert.weak": {
        "vi": "Chỉ dựa trên một lần tiếp xúc ngắn: bằng chứng yếu hơn.",
        "en": "It rests on one short contact alone: weaker evidence.",
    },
    "alert.withdrawn": {
        "vi": "Cảnh báo về ngày {day} đã được rút lại: kết quả xét nghiệm dẫn đến cảnh báo đó hóa ra là âm tính, "
        "hoặc đã được đính chính. Bạn không cần hạn chế gặp người khác vì cảnh báo đó nữa. "
        "Nếu thấy không khỏe, bạn vẫn nên gọi cho cơ quan y tế.",
        "en": "The warning about {day} has been withdrawn: the test behind it turned out negative, or was corrected. "
        "You need not keep away from other people because of it any more. "
        "If you feel unwell, call your health authority all the same.",
    },
    "advice.title": {"vi": "Bạn có thể đã bị phơi nhiễm", "en": "You may have been exposed"},
    "advice.step": {
        "vi": "Hạn chế gặp người khác và gọi cho cơ quan y tế địa phương để được hướng dẫn.",
        "en": "Keep away from other people and call your local health authority for instructions.",
    },
    # Fetching.
    "expired.configuration": {
        "vi": "Cấu hình trên máy chủ đã quá hạn: máy chủ không còn cập nhật, hoặc đồng hồ của thiết bị này sai.",
        "en": "The server's configuration has expired: it is no longer updated, or this device's clock is wrong.",
    },
    "expired.advice": {
        "vi": "Hướng dẫn trên máy chủ đã quá hạn: máy chủ không còn cập nhật, hoặc đồng hồ của thiết bị này sai.",
        "en": "The server's advice has expired: it is no longer updated, or this device's clock is wrong.",
    },
    "expired.index": {
        "vi": "Danh sách khóa trên máy chủ đã quá hạn: máy chủ không còn cập nhật, hoặc đồng hồ của thiết bị này sai.",
        "en": "The server's list of keys has expired: it is no longer updated, or this device's clock is wrong.",
    },
    # The clock. While it is not believed, the device neither speaks nor records.
    "clock.signed": {
        "vi": "chậm ít nhất {off} so với giờ do cơ quan y tế ký, thiết bị tạm ngừng phát và ghi: hãy chỉnh lại giờ",
        "en": "at least {off} behind the time that the authority signed, nothing is spoken or recorded: set the clock",
    },
    "clock.server": {
        "vi": "lệch {off} so với máy chủ, thiết bị tạm ngừng phát và ghi: hãy chỉnh lại giờ",
        "en": "{off} off the server's, nothing is spoken or recorded: set the clock",
    },
    "clock.stepped": {
        "vi": "vừa nhảy {off}, thiết bị tạm ngừng phát và ghi: hãy chỉnh lại giờ, hoặc để máy chủ xác nhận",
        "en": "it jumped by {off}, nothing is spoken or recorded: set the clock, or let the server confirm it",
    },
    "clock.written": {
        "vi": "chậm {off} so với lần ghi nhật ký cuối, thiết bị tạm ngừng phát và ghi: "
        "hãy chỉnh lại giờ, hoặc kết nối mạng để máy chủ xác nhận",
        "en": "{off} behind the diary's last entry, nothing is spoken or recorded: "
        "set the clock, or let the server confirm it",
    },
    "clock.nobody": {
        "vi": "chưa có gì xác nhận giờ, thiết bị chưa phát và ghi: hãy kết nối mạng",
        "en": "nothing has confirmed it yet, nothing is spoken or recorded: connect to the network",
    },
    "span.minutes": {"vi": "{count} phút", "en": "{count} min"},
    "span.hours": {"vi": "{count} giờ", "en": "{count} h"},
    "span.days": {"vi": "{count} ngày", "en": "{count} days"},
    # A pause.
    "pause.for": {
        "vi": "Tạm dừng {span}: thiết bị không phát và không ghi gì. Cảnh báo về những ngày trước vẫn đến với bạn.",
        "en": "Paused for {span}: nothing is spoken or recorded. Warnings about earlier days still reach you.",
    },
    "pause.until_resumed": {
        "vi": "Tạm dừng cho đến khi bạn chạy 'resume': thiết bị không phát và không ghi gì. "
        "Cảnh báo về những ngày trước vẫn đến với bạn.",
        "en": "Paused until you run 'resume': nothing is spoken or recorded. "
        "Warnings about earlier days still reach you.",
    },
    "pause.over": {"vi": "Không còn tạm dừng.", "en": "The pause is over."},
    # The page.
    "page.here": {
        "vi": "Mở địa chỉ này bằng trình duyệt trên chính máy này:",
        "en": "Open this address in a browser on this machine:",
    },
    "page.link": {
        "vi": "Mở địa chỉ này, hoặc quét mã QR, trên điện thoại hay máy tính đang nối cáp USB với thiết bị:",
        "en": "Open this address, or scan the code, on the phone or computer that the USB cable leads to:",
    },
    "page.yours": {
        "vi": "Đừng đưa liên kết này cho ai: ai có nó sẽ xem được trang của bạn. 'page --new' tạo liên kết mới.",
        "en": "Give this link to nobody: whoever has it sees your page. 'page --new' makes a new one.",
    },
    "page.yours_while": {
        "vi": "Đừng đưa liên kết này cho ai: ai có nó sẽ xem được trang của bạn. Trang mở cho đến khi bạn nhấn Ctrl-C.",
        "en": "Give this link to nobody: whoever has it sees your page. The page is there until you press Ctrl-C.",
    },
    # The condition: the state, a colon, and why. A fault's own sentence stays as its library or the system gave it.
    # On a screen that others see: not what the message is about.
    "news.message": {"vi": "Có tin nhắn dành cho bạn", "en": "There is a message for you"},
    "news.read": {
        "vi": "Mở trang Forewarn trên thiết bị này khi ở một mình để đọc.",
        "en": "Open the Forewarn page of this device when you are alone to read it.",
    },
    "news.help": {"vi": "Forewarn cần bạn giúp", "en": "Forewarn needs your help"},
    "condition.running": {"vi": "Đang hoạt động", "en": "Running"},
    "condition.stale": {"vi": "Chưa chắc chắn", "en": "Not up to date"},
    "condition.alert": {"vi": "Cảnh báo", "en": "Alert"},
    "condition.call": {"vi": "Cần giúp đỡ", "en": "Needs help"},
    "condition.well": {"vi": "mọi thứ đều ổn, không cần làm gì", "en": "all is well, nothing to do"},
    "condition.exposed": {
        "vi": "bạn có thể đã bị phơi nhiễm, hãy đọc hướng dẫn và gọi cho người được ghi trong đó",
        "en": "you may have been exposed, read the instructions and call whom they name",
    },
    "condition.not_running": {
        "vi": "chương trình không chạy: hãy khởi động lại, hoặc nhờ người phụ trách thiết bị",
        "en": "the tracer is not running: start it, or ask whoever keeps this device",
    },
    "condition.disk": {
        "vi": "bộ nhớ đã đầy, không phát, ghi hay đối chiếu được gì mới: hãy giải phóng chỗ trống",
        "en": "the disk is full, nothing new is spoken, recorded or matched: free some space",
    },
    "condition.damaged": {
        "vi": "một phần nhật ký bị hỏng, không đọc được nữa: hãy kiểm tra hoặc thay thẻ nhớ",
        "en": "a part of the diary can no longer be read: check the disk, or replace the card",
    },
    "condition.mended": {
        "vi": "nhật ký vừa bị hỏng và đã được lập lại với những gì còn đọc được: hãy kiểm tra hoặc thay thẻ nhớ",
        "en": "the diary was damaged and begun anew with what could be read: check the disk, or replace the card",
    },
    "condition.paused": {
        "vi": "đang tạm dừng theo ý bạn, không phát và không ghi: chạy 'resume' để tiếp tục",
        "en": "paused as you wished, nothing is spoken or recorded: 'resume' ends it",
    },
    "condition.paused_for": {
        "vi": "đang tạm dừng theo ý bạn thêm {lasts} nữa, không phát và không ghi",
        "en": "paused as you wished for {lasts} more, nothing is spoken or recorded",
    },
    "condition.radio": {
        "vi": "Bluetooth không hoạt động đã {lasts} ({fault})",
        "en": "Bluetooth has not worked for {lasts} ({fault})",
    },
    "condition.clock": {
        "vi": "đồng hồ chưa đáng tin đã {lasts}, tạm ngừng phát và ghi: hãy kết nối mạng hoặc chỉnh lại giờ",
        "en": "the clock has been in doubt for {lasts}, nothing is spoken or recorded: connect to the network, or set "
        "the clock",
    },
    "condition.forgetting_waits": {
        "vi": "việc xóa những ngày cũ chờ đến khi đồng hồ chắc chắn đúng",
        "en": "forgetting old days waits until the clock is sure",
    },
    "condition.forgetting": {
        "vi": "những ngày cũ lẽ ra phải xóa từ {lasts} trước vẫn còn: hãy đóng chương trình khác đang đọc nhật ký",
        "en": "days that should have been forgotten {lasts} ago are still there: close other programs that read the "
        "diary",
    },
    "condition.never_matched": {
        "vi": "chưa đối chiếu được lần nào với máy chủ",
        "en": "nothing was matched with the server yet",
    },
    "condition.match_is_old": {
        "vi": "lần đối chiếu cuối cách đây {lasts}",
        "en": "the last match was {lasts} ago",
    },
    "condition.match_is_ahead": {
        "vi": "lần đối chiếu cuối ở tương lai {lasts}: đồng hồ đã bị chỉnh lùi",
        "en": "the last match lies {lasts} in the future: the clock was set back since",
    },
    "condition.server": {"vi": "máy chủ: {fault}", "en": "the server: {fault}"},
    "condition.deaf": {
        "vi": "đã {lasts} không quét Bluetooth",
        "en": "there was no Bluetooth scan for {lasts}",
    },
    "condition.job": {"vi": "một phần việc gặp lỗi ({fault})", "en": "one of its jobs fails ({fault})"},
    # Badges of a site, and their labels.
    "provision.done": {
        "vi": "Đã ghi {count} thẻ đeo vào {out}. In {labels}; chép thư mục forewarn của từng thẻ vào thẻ SD; rồi xóa "
        "{out}, vì trong đó có bí mật.",
        "en": "{count} badges are in {out}. Print {labels}; copy each badge's folder forewarn onto its SD card; then "
        "delete {out}, for it holds secrets.",
    },
    "label.title": {"vi": "nhãn của các thẻ đeo", "en": "labels of the badges"},
    "label.flashes": {
        "vi": "Nháy 1 hoặc 2 lần: ổn. Nháy 3 lần, hoặc tắt: đến {desk}.",
        "en": "1 or 2 flashes: fine. 3 flashes, or dark: {desk}.",
    },
    "label.page": {
        "vi": "trang riêng của người đeo (cắm cáp USB rồi quét mã). Giữ kín tờ này.",
        "en": "the wearer's own page (plug in the USB cable, then scan). Keep this slip to yourself.",
    },
    # The doctor's last line.
    "doctor.well": {"vi": "Mọi thứ đều ổn, không cần làm gì.", "en": "All is well, nothing to do."},
    "doctor.warnings": {
        "vi": "Thiết bị hoạt động được; có {warnings} điều nên xem lại (các dòng warning ở trên).",
        "en": "It works; what to look at (lines marked warning above): {warnings}.",
    },
    "doctor.failures": {
        "vi": "Có {failures} lỗi cần sửa trước (các dòng failure ở trên) và {warnings} điều nên xem lại "
        "(các dòng warning).",
        "en": "To be mended first (lines marked failure above): {failures}; to look at (lines marked warning): "
        "{warnings}.",
    },
}

# Not the machine's locale: the person's language is a setting.
_ENGLISH_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

_REFUSALS: Final[Mapping[str, str]] = {
    "code_invalid": "code_invalid",
    "code_not_found": "code_invalid",
    "code_expired": "code_expired",
    "token_invalid": "token",
    "token_expired": "token",
    "invalid_test_type": "test_type",
    "quota_exceeded": "quota",
    "missing_revision_token": "published",
    "key_already_revised": "change",
    "invalid_revision_token": "change",
    "invalid_report_type_transition": "change",
    "internal_error": "server",
    "unable_to_load_health_authority": "server",
}


def say(language: Language, sentence: str, /, **values: object) -> str:
    """Return a sentence in a language, its gaps filled; an unknown name is a programming error."""
    return _SENTENCES[sentence][language].format(**values)


def say_day(language: Language, day: date) -> str:
    """Return a date as people of a language write it."""
    if language == "vi":
        return f"{day.day}/{day.month}/{day.year}"
    return f"{day.day} {_ENGLISH_MONTHS[day.month - 1]} {day.year}"


def say_span(language: Language, seconds: float) -> str:
    """Return how long a time is, in the unit that tells it best."""
    for unit, unit_s in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 2 * unit_s:
            return say(language, f"span.{unit}", count=round(seconds / unit_s))
    return say(language, "span.minutes", count=round(seconds / 60))


def say_rule(language: Language, rule: str) -> str:
    """Return in words why the rule of this name (RiskConfiguration.rule) warns."""
    return say(language, f"rule.{rule}" if f"rule.{rule}" in _SENTENCES else "rule.other")


def say_refusal(language: Language, code: str) -> str:
    """Return what a refusal of the server means for the person and what to do; `code` is PROTOCOL's error code."""
    return say(language, f"refused.{_REFUSALS.get(code, 'other')}", code=code)
