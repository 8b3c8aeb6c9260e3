"""What a person reads when keys leave this device: a report, a refusal of the server, a diary that moves."""

from collections.abc import Mapping
from typing import Final

from forewarn_protocol.advice import Language

SENTENCES: Final[Mapping[str, Mapping[Language, str]]] = {
    # Report.
    "report.what": {
        "vi": "Sẽ gửi đến {server}: mã của bạn và khóa ngẫu nhiên của {count} ngày: {days}.",
        "en": "This will be sent to {server}: your code, and the random keys of {count} days: {days}.",
    },
    "report.what_file": {
        "vi": "Mã của bạn sẽ được gửi đến {server}. Khóa ngẫu nhiên của {count} ngày ({days}) sẽ được ghi vào {file}: "
        "chỉ máy chủ mở được tệp này, cơ quan y tế chỉ chuyển tiếp.",
        "en": "Your code will be sent to {server}. The random keys of {count} days ({days}) go into {file}, "
        "which only the server can open; the health authority passes it on.",
    },
    "report.who": {
        "vi": "Các khóa sẽ được công khai, để thiết bị của những người từng ở gần bạn có thể cảnh báo họ. "
        "Tên của bạn, nơi bạn đã đến và những người bạn đã gặp không bao giờ rời khỏi thiết bị này.",
        "en": "The keys become public, so that the devices of people who were near you can warn them. "
        "Your name, places and whom you met never leave this device.",
    },
    "report.limit": {
        "vi": "Khóa đã gửi thì không thể xóa; chỉ mã mới của cơ quan y tế mới đính chính được. "
        "Người đã gặp bạn có thể đoán ra đó là bạn.",
        "en": "What is sent cannot be deleted; only a new code of your health authority can correct it. "
        "Someone who met you may guess that it was you.",
    },
    "report.drop": {
        "vi": "Để giữ lại một ngày, thêm --drop-day NĂM-THÁNG-NGÀY.",
        "en": "To keep a day back, add --drop-day YYYY-MM-DD.",
    },
    "report.code": {
        "vi": "Thiết bị này đã gửi một báo cáo. Bây giờ chỉ gửi mã của bạn đến {server}, để biết mã xác nhận hay rút "
        "lại báo cáo đó. Bạn sẽ được hỏi lại trước khi gửi thêm bất cứ thứ gì.",
        "en": "This device has sent a report before. Now only your code is sent to {server}, which says whether it "
        "confirms that report or takes it back. You are asked again before anything else is sent.",
    },
    "report.confirm": {
        "vi": "Mã của bạn cho biết: {finding}. Sẽ gửi lại khóa của {count} ngày bạn đã gửi trước đây, để từ "
        "nay chúng mang kết quả này: {days}.",
        "en": "Your code says: {finding}. The keys of {count} days that you sent before are sent once more,"
        " so that they carry this finding from now on: {days}.",
    },
    "report.confirm_new": {
        "vi": "Và lần đầu tiên, khóa ngẫu nhiên của {count} ngày: {days}.",
        "en": "And, for the first time, the random keys of {count} days: {days}.",
    },
    "report.withdraw": {
        "vi": "Mã của bạn cho biết: {finding}. Sẽ gửi lại khóa của {count} ngày bạn đã gửi trước đây, để rút "
        "lại chúng: {days}.",
        "en": "Your code says: {finding}. The keys of {count} days that you sent before are sent once more,"
        " to take them back: {days}.",
    },
    "report.withdraw_follows": {
        "vi": "Thiết bị của những người đã được cảnh báo vì các khóa này sẽ rút lại cảnh báo trong vài giờ và báo cho "
        "họ biết. Khóa chưa công khai sẽ không bao giờ được công khai; khóa đã công khai vẫn còn đó, được đánh "
        "dấu là đã rút lại. Những ngày thiết bị này đã quên không được gửi. Đã rút lại thì không thể đổi nữa.",
        "en": "Devices that warned because of these keys take the warning back within hours and tell their owners. Keys"
        " that are not public yet never will be; those that are stay so, marked as taken back. Days that this "
        "device has forgotten are left out. What is taken back cannot be changed again.",
    },
    "report.once": {
        "vi": "Mỗi khóa chỉ đổi được một lần.",
        "en": "Each key can be changed only once.",
    },
    "finding.confirmed": {"vi": "xét nghiệm dương tính", "en": "the test is positive"},
    "finding.likely": {"vi": "bác sĩ cho rằng bạn đã nhiễm bệnh", "en": "a doctor takes you to be infected"},
    "finding.user-report": {"vi": "bạn tự báo là đã nhiễm bệnh", "en": "you report yourself as infected"},
    "finding.negative": {"vi": "xét nghiệm âm tính", "en": "the test is negative"},
    "report.to_server": {"vi": "Nơi nhận: {server}.", "en": "They go to {server}."},
    "report.to_file": {
        "vi": "Các khóa này được ghi vào {file}, chỉ máy chủ mở được tệp này: hãy đưa tệp cho cơ quan y tế.",
        "en": "They go into {file}, which only the server can open: give it to your health authority.",
    },
    "report.ask": {"vi": "Gửi? Gõ c để đồng ý [c/K]: ", "en": "Send? Type y to agree [y/N]: "},
    "report.declined": {
        "vi": "Chưa công bố gì. Nếu đổi ý, hãy chạy lại lệnh này.",
        "en": "Nothing was published. If you change your mind, run the same command again.",
    },
    "report.no_terminal": {
        "vi": "không có cửa sổ lệnh để hỏi bạn có đồng ý không: hãy chạy trong một cửa sổ lệnh, hoặc thêm --yes",
        "en": "there is no terminal to ask for your consent on: run this in one, or add --yes",
    },
    "report.sent": {
        "vi": "Đã gửi. Cảm ơn bạn: những người từng ở gần bạn sẽ được cảnh báo sau vài giờ.",
        "en": "Sent. Thank you: people who were near you will be warned within hours.",
    },
    "report.partly": {
        "vi": "Đã gửi. Máy chủ không nhận khóa của một số ngày; các ngày khác vẫn được công bố.",
        "en": "Sent. The server did not take the keys of some days; the others will be published.",
    },
    "report.sealed": {
        "vi": "Đã niêm phong. Hãy đưa {file} cho cơ quan y tế trong vòng 24 giờ kể từ khi nhập mã. "
        "Thiết bị này không biết tệp có đến nơi hay không: khi có mạng, bạn vẫn có thể chạy 'report' với cùng mã, "
        "các khóa chỉ được công bố một lần.",
        "en": "Sealed. Give {file} to the health authority within 24 hours of entering the code. This device cannot "
        "know whether it arrives: with a network you may run 'report' with the same code, nothing is published twice.",
    },
    "report.no_uploads": {
        "vi": "máy chủ này không nhận tệp niêm phong: hãy dùng 'report'",
        "en": "this server takes no sealed files: use 'report'",
    },
    "report.withdrawn": {
        "vi": "Đã rút lại. Những người đã được cảnh báo vì các khóa này sẽ được báo lại sau vài giờ.",
        "en": "Taken back. People who were warned because of these keys will be told within hours.",
    },
    "report.already": {
        "vi": "Mã này đã được dùng để gửi từ thiết bị này: không gửi lại gì thêm.",
        "en": "This code has been used for a report from this device: nothing was sent again.",
    },
    "report.nothing": {
        "vi": "không còn khóa nào để gửi: thiết bị chưa phát trong những ngày đó, hoặc bạn đã bỏ tất cả các ngày",
        "en": "there is no key left to send: the device did not speak on those days, or all of them were dropped",
    },
    "report.nothing_more": {
        "vi": "không còn gì để gửi: các khóa của thiết bị này đã được gửi trước đó và không đổi được nữa; "
        "mã chưa bị dùng",
        "en": "there is nothing left to send: the keys of this device were sent before and can no longer be changed; "
        "the code was not used",
    },
    "report.no_withdrawal": {
        "vi": "mã này dùng để rút lại một báo cáo, nhưng thiết bị này không có báo cáo nào rút lại được; mã chưa bị "
        "dùng: hỏi cơ quan y tế",
        "en": "this code takes a report back, and this device has none that can be taken back; the code was not used: "
        "ask your health authority",
    },
    "report.no_change": {
        "vi": "mã này không thay đổi gì trong những gì đã gửi, và không còn khóa nào mới; mã chưa bị dùng: "
        "hỏi cơ quan y tế",
        "en": "this code changes nothing of what was sent, and there is nothing new to send; the code was not used: "
        "ask your health authority",
    },
    "report.resume": {
        "vi": "máy chủ không trả lời: không mất gì, hãy thử lại với cùng mã khi máy chủ hoạt động trở lại",
        "en": "the server gives no answer: nothing is lost, try again with the same code once it does",
    },
    "report.bad_code": {
        "vi": "mã không đúng dạng: nhập 8 chữ số, hoặc 16 ký tự của mã dài",
        "en": "this is no code: give the 8 digits, or the 16 characters of the long form",
    },
    "report.bad_onset": {
        "vi": "ngày khởi phát phải nằm trong 14 ngày qua: kiểm tra lại ngày đó",
        "en": "the first day of symptoms must lie in the last 14 days: check that day",
    },
    "report.bad_day": {
        "vi": "ngày {day} không nằm trong các ngày sẽ gửi ({days}): kiểm tra --drop-day",
        "en": "{day} is not among the days to be sent ({days}): check --drop-day",
    },
    "report.fixed": {
        "vi": "lần gửi trước đã chốt các ngày: thử lại mà không nêu ngày khởi phát và không giữ lại ngày nào, "
        "hoặc xin mã mới để đổi ngày",
        "en": "an earlier try has fixed the days: try again without a first day of symptoms and keep no day back, "
        "or get a new code to change them",
    },
    # Moving to a new device.
    "move.ask": {
        "vi": "Chuyển nhật ký trong {data} sang tệp {file}? Thiết bị này sẽ hủy khóa, xóa nhật ký và ngừng hoạt động: "
        "chỉ tệp đó cùng mật khẩu mới khôi phục được, trong vòng 48 giờ. Gõ c để đồng ý [c/K]: ",
        "en": "Move the diary in {data} into {file}? This device then destroys its keys, deletes the diary and stops: "
        "only that file and its passphrase bring it back, within 48 hours. Type y to agree [y/N]: ",
    },
    "move.declined": {"vi": "Chưa chuyển gì.", "en": "Nothing was moved."},
    "move.no_terminal": {
        "vi": "không có cửa sổ lệnh để hỏi bạn có đồng ý không: hãy chạy trong một cửa sổ lệnh, hoặc thêm --yes",
        "en": "there is no terminal to ask for your consent on: run this in one, or add --yes",
    },
    "move.no_passphrase": {
        "vi": "không có cửa sổ lệnh để nhập mật khẩu: hãy chạy trong một cửa sổ lệnh, hoặc thêm --passphrase-file TỆP",
        "en": "there is no terminal to type the passphrase on: run this in one, or add --passphrase-file FILE",
    },
    "move.passphrase": {
        "vi": "Mật khẩu (ít nhất {words} từ, không hiện ra khi gõ): ",
        "en": "Passphrase (at least {words} words, not shown as you type): ",
    },
    "move.again": {"vi": "Gõ lại mật khẩu: ", "en": "The passphrase once more: "},
    "move.differ": {
        "vi": "hai lần gõ mật khẩu không giống nhau: chưa chuyển gì, hãy chạy lại lệnh này",
        "en": "the two passphrases differ: nothing was moved, run the command again",
    },
    "move.weak": {
        "vi": "mật khẩu quá yếu: dùng ít nhất {words} từ khác nhau, mỗi từ ít nhất {letters} chữ cái, "
        "không phải một câu nhiều người biết",
        "en": "the passphrase is too weak: take at least {words} different words of at least {letters} letters each, "
        "and no sentence that others know",
    },
    "move.no_text": {
        "vi": "{file} không phải tệp văn bản: ghi mật khẩu vào dòng đầu, mã UTF-8",
        "en": "{file} is no text: write the passphrase into its first line, in UTF-8",
    },
    "move.damaged": {
        "vi": "Có {count} mục hỏng trong nhật ký không đọc được nữa nên không được chuyển.",
        "en": "{count} damaged entries of the diary could no longer be read and were left out.",
    },
    "move.left": {
        "vi": "Đã chuyển. Trên thiết bị này không còn gì. Mang {file} sang thiết bị mới và chạy 'move in' ở đó "
        "trong vòng 48 giờ. Đừng giữ bản sao nào của tệp.",
        "en": "Moved. Nothing is left on this device. Take {file} to the new one and run 'move in' there within "
        "48 hours. Keep no copy of the file.",
    },
    "move.arrived": {
        "vi": "Nhật ký đã đến nơi. Khởi động bằng 'run': thiết bị này phát bằng khóa mới của riêng nó.",
        "en": "The diary has arrived. Start it with 'run': this device speaks with new keys of its own.",
    },
    "move.delete": {
        "vi": "Không xóa được {file}: hãy tự xóa, vì ai biết mật khẩu vẫn mở được tệp này.",
        "en": "{file} could not be deleted: delete it yourself, for its passphrase still opens it.",
    },
    # What a refusal of the server means for the person; the machine's word is the part after the dot.
    "refused.code_invalid": {
        "vi": "mã không đúng hoặc đã được dùng: kiểm tra lại các chữ số, hoặc xin mã mới từ cơ quan y tế",
        "en": "the code is wrong or already used: check its digits, or ask your health authority for a new one",
    },
    "refused.code_expired": {
        "vi": "mã đã hết hạn: xin mã mới từ cơ quan y tế",
        "en": "the code has expired: ask your health authority for a new one",
    },
    "refused.token": {
        "vi": "quyền gửi của mã này đã hết hạn (24 giờ): xin mã mới từ cơ quan y tế",
        "en": "what this code allowed has run out (24 hours): ask your health authority for a new code",
    },
    "refused.test_type": {
        "vi": "mã này thuộc loại xét nghiệm mà thiết bị không báo cáo được: hỏi cơ quan y tế",
        "en": "this code is for a kind of test that this device cannot report: ask your health authority",
    },
    "refused.quota": {
        "vi": "máy chủ đang nhận quá nhiều yêu cầu: chờ một giờ rồi thử lại với cùng mã",
        "en": "the server has had too many requests: wait an hour, then try again with the same code",
    },
    "refused.published": {
        "vi": "một số khóa đã được gửi trước đó và thiết bị này không đổi được nữa: "
        "xin cơ quan y tế mã mới cho những ngày sau đó",
        "en": "some of these keys were sent before, and this device cannot change them: "
        "ask your health authority for a new code for the days since",
    },
    "refused.change": {
        "vi": "máy chủ không nhận thay đổi này, những gì đã gửi vẫn giữ nguyên: báo cho cơ quan y tế; "
        "những ngày sau đó cần mã mới",
        "en": "the server does not take this change, what was sent stays as it is: tell your health authority; "
        "the days since need a new code",
    },
    "refused.server": {
        "vi": "máy chủ gặp lỗi: không mất gì, chờ một giờ rồi thử lại với cùng mã",
        "en": "the server has a fault: nothing is lost, wait an hour, then try again with the same code",
    },
    "refused.other": {
        "vi": "máy chủ từ chối ({code}): báo cho cơ quan y tế",
        "en": "the server refuses ({code}): tell your health authority",
    },
}
