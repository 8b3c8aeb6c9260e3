"""What the page says, in Vietnamese and English: one table, each sentence beside its twin, in plain words."""

from collections.abc import Mapping
from typing import Final

from forewarn_client.translations import say_span
from forewarn_protocol.advice import Language

_TEXTS: Final[Mapping[str, Mapping[Language, str]]] = {
    "other_language": {"vi": "English", "en": "Tiếng Việt"},
    "back": {"vi": "Quay lại", "en": "Back"},
    "home": {"vi": "Về trang chính", "en": "To the first page"},
    # The state. Its words are those of `condition`, where it has one.
    "state.paused": {"vi": "Đang tạm dừng", "en": "Paused"},
    "state.absent": {"vi": "Chưa bắt đầu", "en": "Not started yet"},
    "state.running.why": {
        "vi": "Thiết bị đang chạy và không thấy điều gì bạn cần làm.",
        "en": "The device is at work and found nothing that you need to do.",
    },
    "paused.until": {"vi": "Đến {time}.", "en": "Until {time}."},
    "paused.until_resumed": {"vi": "Cho đến khi bạn bấm tiếp tục.", "en": "Until you press continue."},
    "paused.silent": {
        "vi": "Thiết bị không phát và không ghi gì. Ai ở gần bạn lúc này sẽ không được ghi lại, và nếu sau này bạn "
        "nhiễm bệnh, họ sẽ không được cảnh báo.",
        "en": "The device says and records nothing. Whoever is near you now is not recorded, and would not be warned "
        "if you fell ill.",
    },
    "paused.soon": {"vi": "Thiết bị sẽ im lặng trong giây lát.", "en": "The device falls silent in a moment."},
    "paused.off": {"vi": "Hiện thiết bị cũng không chạy.", "en": "The device does not run at the moment, either."},
    "absent": {
        "vi": "Chưa có nhật ký nào trên thiết bị này. Hãy khởi động chương trình bằng lệnh:",
        "en": "There is no diary on this device yet. Start the program with the command:",
    },
    "start": {"vi": "Để khởi động, chạy lệnh:", "en": "To start it, run:"},
    # An alert.
    "alert.what_to_do": {"vi": "Bạn nên làm gì", "en": "What to do"},
    "alert.call": {"vi": "Gọi cho ai", "en": "Whom to call"},
    "alert.call_name": {"vi": "Gọi {name}", "en": "Call {name}"},
    "alert.more": {"vi": "Hướng dẫn của cơ quan y tế", "en": "The health authority's advice"},
    "alert.why": {"vi": "Vì sao bạn được cảnh báo", "en": "Why you are warned"},
    "withdrawn.heading": {"vi": "Cảnh báo đã được rút lại", "en": "A warning was taken back"},
    # What it last did.
    "last.heading": {"vi": "Lần gần nhất", "en": "Last time"},
    "last.scan": {"vi": "Nghe xung quanh", "en": "Listened around"},
    "last.download": {"vi": "Tải dữ liệu mới", "en": "Fetched new data"},
    "last.match": {"vi": "Đối chiếu với nhật ký", "en": "Compared with the diary"},
    "ago.never": {"vi": "chưa lần nào", "en": "never yet"},
    "ago.now": {"vi": "vừa xong", "en": "just now"},
    "ago": {"vi": "{span} trước", "en": "{span} ago"},
    "ago.ahead": {"vi": "trong tương lai: đồng hồ đã bị chỉnh lùi?", "en": "in the future: was the clock set back?"},
    # Encounters.
    "encounters.heading": {"vi": "Tín hiệu ở gần, theo ngày", "en": "Signals nearby, by day"},
    "encounters.what": {
        "vi": "Số tín hiệu nghe được mỗi ngày. Mỗi thiết bị đổi tín hiệu sau 10 đến 20 phút, nên đây không phải "
        "là số người.",
        "en": "How many signals were heard each day. A device changes its signal every 10 to 20 minutes, so this is "
        "no number of people.",
    },
    "encounters.none": {"vi": "Chưa nghe thấy ai.", "en": "Nobody was heard yet."},
    "encounters.picture": {
        "vi": "Biểu đồ cột: số tín hiệu nghe được mỗi ngày trong {days} ngày qua, nhiều nhất là {most}.",
        "en": "A bar chart: signals heard on each of the last {days} days, {most} at most.",
    },
    "encounters.table": {"vi": "Xem dạng số", "en": "As numbers"},
    "encounters.day": {"vi": "Ngày", "en": "Day"},
    "encounters.count": {"vi": "Tín hiệu", "en": "Signals"},
    # Faults.
    "faults.heading": {"vi": "Chi tiết kỹ thuật", "en": "Technical details"},
    # Reporting.
    "code.action": {"vi": "Tôi có mã của cơ quan y tế", "en": "I have a code from the health authority"},
    "code.heading": {"vi": "Nhập mã", "en": "Enter your code"},
    "code.intro": {
        "vi": "Nếu bạn có kết quả dương tính, cơ quan y tế đưa cho bạn một mã. Với mã đó, những người từng ở gần bạn "
        "sẽ được cảnh báo mà không biết bạn là ai. Chưa có gì được gửi cho đến khi bạn đồng ý ở bước sau.",
        "en": "If you tested positive, your health authority gives you a code. With it, people who were near you are "
        "warned without being told who you are. Nothing is sent until you agree in the next step.",
    },
    "code.label": {"vi": "Mã", "en": "Code"},
    "code.hint": {"vi": "8 chữ số, hoặc 16 ký tự", "en": "8 digits, or 16 characters"},
    "code.onset": {"vi": "Ngày đầu tiên có triệu chứng", "en": "First day of symptoms"},
    "code.onset_hint": {
        "vi": "Để trống nếu bạn không có triệu chứng hoặc không nhớ.",
        "en": "Leave it empty if you had none, or do not remember.",
    },
    "code.next": {"vi": "Tiếp tục", "en": "Continue"},
    "consent.heading": {"vi": "Bạn có đồng ý gửi không?", "en": "Do you agree to send this?"},
    "consent.days": {"vi": "Những ngày được gửi", "en": "Days that are sent"},
    "consent.days_hint": {"vi": "Bỏ chọn ngày bạn muốn giữ lại.", "en": "Take the mark off a day to keep it back."},
    "consent.send": {"vi": "Đồng ý và gửi", "en": "Agree and send"},
    "consent.cancel": {"vi": "Không gửi", "en": "Do not send"},
    "consent.wait": {"vi": "Việc gửi mất vài giây.", "en": "Sending takes some seconds."},
    "done.heading": {"vi": "Xong", "en": "Done"},
    # Pausing.
    "pause.heading": {"vi": "Tạm dừng", "en": "Pause"},
    "pause.what": {
        "vi": "Trong lúc tạm dừng, thiết bị không phát và không ghi gì. Cảnh báo về những ngày trước vẫn đến với bạn.",
        "en": "In a pause the device says and records nothing. Warnings about earlier days still reach you.",
    },
    "pause.hour": {"vi": "Trong 1 giờ", "en": "For 1 hour"},
    "pause.tomorrow": {"vi": "Đến 6 giờ sáng mai", "en": "Until 6:00 tomorrow morning"},
    "pause.open": {"vi": "Đến khi tôi bấm tiếp tục", "en": "Until I press continue"},
    "pause.resume": {"vi": "Tiếp tục ngay", "en": "Continue now"},
    # Erasing.
    "erase.action": {"vi": "Xóa mọi thứ…", "en": "Erase everything…"},
    "erase.heading": {"vi": "Xóa mọi thứ trên thiết bị này?", "en": "Erase everything on this device?"},
    "erase.what": {
        "vi": "Nhật ký, các khóa và cảnh báo sẽ bị hủy, không gì lấy lại được. Sau đó bạn không thể được cảnh báo về "
        "những ngày trước, và không thể cảnh báo người khác về những ngày đó. Cài đặt vẫn còn.",
        "en": "The diary, the keys and the warnings are destroyed, and nothing brings them back. After that you cannot "
        "be warned about earlier days, nor warn others about them. The settings stay.",
    },
    "erase.then": {"vi": "Sau đó", "en": "Afterwards"},
    "erase.anew": {"vi": "Bắt đầu nhật ký mới", "en": "Begin a new diary"},
    "erase.off": {"vi": "Tạm dừng, không ghi gì", "en": "Stay paused and record nothing"},
    "erase.sure": {
        "vi": "Tôi hiểu rằng không gì lấy lại được.",
        "en": "I understand that nothing brings it back.",
    },
    "erase.unsure": {
        "vi": "Chưa xóa gì: hãy đánh dấu rằng bạn hiểu không gì lấy lại được.",
        "en": "Nothing was erased: mark that you understand that nothing brings it back.",
    },
    "erase.do": {"vi": "Xóa vĩnh viễn", "en": "Erase for good"},
    "erase.cancel": {"vi": "Không xóa", "en": "Do not erase"},
    "erased": {"vi": "Đã xóa tất cả.", "en": "Everything was erased."},
    "erased.slowly": {
        "vi": "Thiết bị chưa xóa xong. Nó sẽ xóa ngay khi có thể: hãy xem lại trang chính sau một phút.",
        "en": "The device has not finished erasing. It will as soon as it can: look at the first page in a minute.",
    },
    # What is refused.
    "refused.heading": {"vi": "Không mở được", "en": "This did not work"},
    "refused.400": {"vi": "Yêu cầu không đúng dạng.", "en": "The request has the wrong form."},
    "refused.403": {
        "vi": "Trang này chỉ mở được bằng liên kết của riêng bạn. Để có liên kết, chạy lệnh sau trên thiết bị:",
        "en": "This page opens only by your own link. To get it, run this on the device:",
    },
    "refused.404": {"vi": "Không có trang này.", "en": "There is no such page."},
    "refused.413": {"vi": "Yêu cầu quá lớn.", "en": "The request is too large."},
    "refused.429": {
        "vi": "Quá nhiều lần mở sai. Hãy thử lại sau một phút.",
        "en": "Too many wrong tries. Try again in a minute.",
    },
    "refused.500": {"vi": "Trang gặp lỗi. Hãy thử lại.", "en": "The page has a fault. Try again."},
}


def tell(language: Language, name: str, /, **values: object) -> str:
    """Return a text of the page, its gaps filled; an unknown name is a programming error."""
    return _TEXTS[name][language].format(**values)


def tell_ago(language: Language, now_s: float, then_s: float | None) -> str:
    """Return how long ago something was, never at which time of day."""
    if then_s is None:
        return tell(language, "ago.never")
    if then_s > now_s + 60:
        return tell(language, "ago.ahead")
    seconds = max(0.0, now_s - then_s)
    return tell(language, "ago.now") if seconds < 60 else tell(language, "ago", span=say_span(language, seconds))  # noqa: PLR2004 - a minute


def as_sentence(text: str) -> str:
    """Return one of the program's lines, which begin small and end without a stop, as a page shows it."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
