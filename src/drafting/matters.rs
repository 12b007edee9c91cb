//! What a dispatcher calls a matter, and the words of callers that mean it.

use std::sync::LazyLock;

use super::{
    heard::{Heard, Span},
    together::{Syllable, Together},
};
use crate::domain::{city::Leaf, transcript::Channel};

/// Utterances of the caller among which the matter is named; later ones go on about it.
const UTTERANCES: usize = 100;

/// A line a matter: its name (`*` marks one that names a subject and not what is wrong with it), what is usually wanted, then sets of words of which one each has to be heard close together.
const MATTERS: &str = "\
停水 > 尽快恢复供水 : 停水 没水 没有水 断水 不来水 没来水
停水 > 尽快恢复供水 : 水 自来水 / 停了 没来
水压低 > 解决水压低 : 水压 / 低 小 上不去 太弱
自来水水质差 > 改善水质 : 自来水 水质 水龙头 / 发黄 浑 有味 泥沙 有沙子 杂质 异味 发黑
水管爆裂 > 尽快抢修水管 : 水管 自来水管 管道 / 爆了 爆裂 漏水 往外冒水
水费异常 > 核实水费 : 水费 / 太高 多收 高了 不对 翻倍 突然
暖气不热 > 尽快派人维修暖气 : 暖气 冷气 供暖 室温 室内温度 热力公司 暖器 / 不热 不够热 没热 冰凉 冰冷 不暖和 太低 只有 凉
暖气漏水 > 尽快派人维修暖气 : 暖气 暖气片 / 漏水
停暖 > 尽快恢复供暖 : 暖气 供暖 / 停了 断了
暖气费争议 : 暖气费 取暖费 / 多收 不退 退费 太高
燃气泄漏 > 立即抢修燃气 : 煤气味 燃气味 天然气味 液化气味
燃气泄漏 > 立即抢修燃气 : 煤气 燃气 天然气 液化气 / 漏气 泄漏 漏了 在漏 味
停气 > 尽快恢复供气 : 停气 没气 没有气
燃气未开通 > 尽快开通燃气 : 天然气 燃气 / 没通 不通 开通 没有通
停电 > 尽快恢复供电 : 停电 没电 没有电 断电 跳闸
停电 > 尽快恢复供电 : 电 / 停了 断了 没来
电压低 > 解决电压低 : 电压 / 低 不稳
电线掉落 > 立即抢修电线 : 电线 高压线 电缆 / 掉下来 掉在 断了 掉到 吊下来
电线杆倾斜 > 扶正电线杆 : 电线杆 电杆 / 歪了 倒了 要倒 倾斜
电线裸露 > 整治电线 : 电线 线路 / 裸露 老化 耷拉 露在外面
变压器故障 > 维修变压器 : 变压器 / 噪音 坏了 烧了 冒烟
电费异常 > 核实电费 : 电费 / 太高 多收 高了 不对
下水道堵塞 > 疏通下水道 : 下水道 下水 管道 / 堵 不通 反水 返水 往上冒
污水外溢 > 清理污水 : 污水 脏水 粪水 / 外溢 冒出来 流到 往外冒 满地
道路积水 > 排除积水 : 积水 内涝 淹了
人员落水 > 立即救援 : 掉河里 掉水里 落水 掉进河 掉湖里
火灾 > 立即救援 : 着火了 起火了 失火 着大火
井盖丢失 > 补装井盖 : 井盖 窨井盖 / 不见 没了 丢 被偷 缺
井盖破损 > 更换井盖 : 井盖 窨井盖 / 坏了 碎 破 松动 塌 翘
路灯不亮 > 维修路灯 : 路灯 / 不亮 坏了 灭了 没亮 不着
路面塌陷 > 修复路面 : 路面 地面 人行道 马路 / 塌陷 塌了 下陷 陷下去
道路破损 > 修路 : 路 公路 水泥路 马路 路面 / 大坑 全是坑 坑洼 坑坑洼洼 坏得 坏了 破损 翻浆 压坏 坑
道路未硬化 > 硬化道路 : 路 / 没硬化 土路 没修 泥路
护栏损坏 > 维修护栏 : 护栏 栏杆 / 坏了 倒了 断了 掉了
红绿灯故障 > 维修红绿灯 : 红绿灯 信号灯 / 坏了 不亮 不对 故障
红绿灯配时 : 红绿灯 信号灯 / 时间 调 配时
增设红绿灯 : 红绿灯 信号灯 / 装 增设 安装 设
标线不清 > 重新划线 : 斑马线 标线 / 看不清 没有 磨没
乱倒垃圾 > 查处乱倒垃圾 : 乱倒 偷倒 倒垃圾 / 垃圾 渣土
垃圾无人清运 > 清运垃圾 : 垃圾 垃圾桶 垃圾箱 / 清运 没人收 没有人 没人管 没人清 堆 满了 不收
公厕脏乱 > 打扫公厕 : 公厕 厕所 / 脏 臭 没人打扫
占道经营 > 制止占道经营 : 占道 摊贩 摆摊 店外经营 流动摊
占道经营 > 制止占道经营 : 卖菜 卖水果 早市 夜市 摊 / 占着 占路 占了 堵路 路
烧烤油烟扰民 > 制止油烟扰民 : 烧烤 / 烟 扰民 呛
油烟扰民 > 制止油烟扰民 : 油烟
违法建设 > 查处违建 : 违建 私搭乱建 违章建筑 加盖 彩钢棚
树木修剪 > 修剪树木 : 树 树枝 / 修剪 剪 挡
树木倒伏 > 清理倒树 : 树 大树 / 倒了 要倒 砸
飞絮扰民 : 飞絮 杨絮
夜间施工噪音 > 停止夜间施工 : 夜间 业间 半夜 晚上 深夜 凌晨 夜里 / 施工 打桩 打装 工地 干活
施工噪音 > 制止施工噪音 : 施工 工地 / 噪音 吵 造音 扰民
广场舞噪音 > 制止噪音扰民 : 广场舞 跳舞 / 噪音 吵 扰民 声音
装修噪音 > 制止装修噪音 : 装修 / 噪音 吵 扰民 声音 电钻
噪音扰民 > 制止噪音扰民 : 噪音 噪声 扰民 太吵 吵得 吵死 很吵
工地扬尘 > 治理扬尘 : 扬尘 尘土 灰尘
焚烧秸秆 > 制止焚烧秸秆 : 秸秆 / 烧 焚烧
焚烧垃圾 > 制止焚烧垃圾 : 焚烧 烧垃圾 烧塑料 烧轮胎
废气异味 > 查处废气排放 : 废气 冒烟 异味 刺鼻 臭味 / 厂 工厂 排 冒 化工
养殖场臭味 > 治理养殖污染 : 养殖场 养猪场 养鸡场 猪场 鸡场 鸭棚 养猪 养鸡 / 臭 味 粪 污水
河道污染 > 治理河道 : 河 河道 河里 水沟 坑塘 / 臭 污水 黑 死鱼 排污 垃圾
拖欠农民工工资 > 支付拖欠工资 : 农民工 工人 民工 / 拖欠 脱欠 工资 欠薪 没有发
拖欠工资 > 支付拖欠工资 : 拖欠 欠薪 欠我们 / 工资 钱 公司
拖欠工资 > 支付拖欠工资 : 工资 / 没发 不发 一直没 不给 没给 一分钱 没着落
拖欠工程款 > 支付工程款 : 工程款 / 拖欠 不给 欠
拖欠货款 > 支付货款 : 货款 / 拖欠 不给 欠
未签劳动合同 : 劳动合同 合同 / 没签 不签
违法辞退 : 辞退 开除 裁员
强制加班 : 加班 / 强制 不给 没有加班费 天天
不缴社保 > 补缴社保 : 社保 五险 / 不交 没交 不缴 没给交
养老金* > 告知养老金政策 : 养老金 养老保险 退休金
工伤赔偿 : 摔下来 砸伤 受伤 摔断 / 干活 工地 公司 架子 上班
工伤认定* : 工伤
失业金* : 失业金 失业保险
医保报销* > 告知报销政策 : 报销 医保 新农合
异地就医* > 告知备案办法 : 异地就医 异地备案 转诊
医院收费* : 医院 / 收费 多收 乱收费
医院服务差 : 医院 卫生院 医生 护士 大夫 / 态度 玩手机 没人管
疫苗接种* : 疫苗 接种
小学入学* > 告知入学材料和报名时间 : 上小学 上一年级 上1年级 小学报名 小学入学
入学* : 入学 招生 学区 报名 / 学校 孩子 幼儿园 初中
体罚学生 : 老师 幼儿园 / 打了 体罚 骂 被打 虐待
幼儿园入园* > 告知入园条件 : 幼儿园 / 上 报名 入园
转学* : 转学
学校违规补课 : 补课 / 老师 学校 收钱
学校食堂* : 食堂 / 学校 不好 变质 难吃 贵
学校收费* : 学校 老师 幼儿园 / 收费 乱收费 多收
培训机构不退费 > 退还培训费 : 培训班 培训机构 辅导班 补习班 / 不退 退费 跑路 关门 退钱
健身房关门不退费 > 退还剩余费用 : 健身房 健身 健身卡 / 关门 不退 跑路 退钱 关了
预付卡不退费 > 退还剩余费用 : 年卡 会员卡 充值 办卡 办了一张 美容卡 洗车卡 / 关门 不退 跑路 退钱 不给退
商品质量问题 : 买的 买了 / 坏了 质量 假货 开胶 有问题
商家不退款 > 退款 : 不退款 不给退 不退钱 不退
食品过期变质 : 过期 变质 发霉 / 面包 牛奶 食品 肉 东西 卖 买 吃
食品有异物 : 虫子 头发 异物 苍蝇 / 吃 饭 饭店 菜
食物中毒 : 吃了 吃完 / 上吐下泻 拉肚子 中毒
药品问题 : 药店 药品 保健品 / 假 贵 夸大 过期
停车乱收费 > 规范停车收费 : 停车费 停车场 / 乱收费 多收 太贵 收费
乱收费 : 乱收费 多收 明码标价 / 价 费 钱
车辆乱停 > 加强停车管理 : 乱停车 乱停 违停 停满了车 停满 停在路中间 停在路上
消防通道被占 > 清理消防通道 : 消防通道 / 占 堵 停 锁
飞线充电 > 制止飞线充电 : 飞线充电 飞线
车位被占 > 清理车位 : 车位 / 占
公交甩站 : 公交 公交车 / 甩站 不停 没停
公交班次* > 增加公交班次 : 公交 公交车 / 班次 太少 等 停了 不来
公交司机服务* : 公交 公交车 司机 / 态度 骂
出租车拒载绕路 : 出租车 网约车 / 拒载 绕路 多收 乱收费
物业服务差 > 督促物业整改 : 物业 / 不管 不作为 服务 态度 没人管 保洁
物业费争议 : 物业费 / 涨 太高 乱收 不合理 多收
充电桩故障 > 维修充电桩 : 充电桩 / 坏了 不能用 没电
电梯故障 > 尽快维修电梯 : 电梯 / 坏了 故障 困 停 不修 坠
房屋漏水 > 维修漏水 : 漏水 渗水 / 房 屋 楼顶 顶楼 家 墙 楼上
外墙脱落 > 维修外墙 : 外墙 墙皮 保温层 瓷砖 / 往下掉 掉下来 脱落 掉了 要掉
外墙问题 > 维修外墙 : 改造 / 外墙 墙皮 保温
老旧小区改造* : 老旧小区 旧改 老旧小区改造
延期交房 > 尽快交房 : 延期交房 交房 烂尾 / 不交 没交 延期 一年 停工
房产证办理* > 办理房产证 : 房产证 不动产证 / 办 下来
高空抛物 : 高空抛物 往下扔
犬只扰民 > 管理犬只 : 狗 / 叫 咬 拴 扰民 散养
邻里纠纷 : 邻居 / 打架 吵架 占 堵
聚众赌博 : 赌博 赌钱 麻将 / 有人 聚众 输
电信诈骗 : 诈骗 被骗 骗子 刷单
烟花爆竹 : 烟花 爆竹 鞭炮
户口办理* > 告知办理材料 : 户口 落户 / 办 迁 改
身份证办理* > 告知办理材料 : 身份证 / 办 补 丢
低保申请* > 告知申请条件 : 低保 / 申请 办 停 取消
养老院* : 养老院 敬老院
高龄补贴* : 高龄补贴 老年补贴 长寿
殡葬* : 墓地 公墓 殡仪馆 火化
残疾证办理* : 残疾证 残疾人
种粮补贴* : 补贴 / 种粮 小麦 农机 地力 粮
土地承包纠纷 : 土地 承包 地 / 纠纷 不给 流转 租
村务不公开 > 公开村务 : 村务 账目 村支书 / 公开 账 贪
机井损坏 > 维修机井 : 机井 井 / 坏了 浇地
浇地难 : 浇地 灌溉
征地补偿* > 支付征地补偿 : 征地 占地 拆迁 / 补偿 钱 不给 安置
宅基地* : 宅基地
违法占地 > 查处违法占地 : 耕地 农田 良田 / 占 盖 挖 取土
证照办理* > 告知办理材料 : 营业执照 证明 许可证 / 办 开
窗口服务态度差 : 窗口 大厅 工作人员 / 态度 推诿 踢皮球 不办
发票* : 不开发票 发票
公积金提取* > 告知提取条件 : 公积金
快递丢失 : 快递 / 丢 没收到 坏了 不送
宽带故障 > 维修宽带 : 宽带 网络 网 / 断 慢 坏了 没信号
手机信号差 > 改善信号 : 信号 / 没有 不好 差
话费争议 : 话费 套餐 扣费
景区门票* : 门票 景区
退役军人优抚* : 退伍 退役 优抚 当兵
健身器材损坏 > 维修健身器材 : 健身器材 器材 / 坏了 断了 少
老人走失 : 老人 母亲 父亲 奶奶 爷爷 / 走失 走丢 找不到了
";
/// Those who are praised, and how a title calls them.
const PRAISED: &str = "\
社区工作人员 : 社区 / 工作人员
村干部 : 村干部 村支书 村主任 书记
民警 : 民警 警察 派出所
交警 : 交警
消防员 : 消防员 消防队
公交司机 : 公交司机 公交车司机
公交司机 : 司机 / 公交 公交车
出租车司机 : 出租车 的哥 司机
医护人员 : 医生 护士 大夫 医护
老师 : 老师
环卫工人 : 环卫工人 环卫
物业人员 : 物业
志愿者 : 志愿者
网格员 : 网格员
快递员 : 快递员 快递小哥
维修师傅 : 师傅
窗口工作人员 : 窗口 大厅 / 工作人员 小姑娘 小伙子
工作人员 : 工作人员
";

/// A matter as dispatchers call it.
#[derive(Debug)]
pub(super) struct Matter {
    pub name: &'static str,
    /// A subject (养老金), not what is wrong with it (停水).
    pub subject: bool,
    /// What callers with this matter usually want.
    pub remedy: Option<&'static str>,
    /// How many sets of words it takes.
    parts: usize,
    words: Together,
    /// All its words, to see whether a category speaks of them.
    line: &'static str,
}

static KNOWN: LazyLock<Vec<Matter>> = LazyLock::new(|| lines(MATTERS));
static WHO: LazyLock<Vec<Matter>> = LazyLock::new(|| lines(PRAISED));

fn lines(text: &'static str) -> Vec<Matter> {
    let matter = |line: &'static str| {
        let (head, words) = line.split_once(" : ")?;
        let (name, remedy) = head.split_once(" > ").map_or((head, None), |(name, remedy)| (name, Some(remedy)));
        let (name, subject) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        let parts: Vec<_> = words.split(" / ").map(str::split_whitespace).collect();
        Some(Matter {
            name,
            subject,
            remedy,
            parts: parts.len(),
            words: Together::new(Syllable::ToTheLetter, parts),
            line,
        })
    };
    text.lines().filter_map(matter).collect()
}

/// What the caller's words are about, and where he said so.
///
/// * `leaf` — the category; a matter it has words for is preferred.
/// * `emergency` — somebody is in danger: that is the matter, whatever the category.
pub(super) fn matter(heard: &Heard, leaf: Option<&Leaf>, emergency: bool) -> Option<(&'static Matter, Span)> {
    let fits = |matter: &Matter| {
        leaf.is_some_and(|leaf| {
            leaf.keywords.iter().any(|word| word.chars().count() > 1 && matter.line.contains(word.as_str()))
        })
    };
    let mut best: Option<(f32, &'static Matter, Span)> = None;
    for matter in KNOWN.iter() {
        let danger = emergency && matter.remedy.is_some_and(|remedy| remedy.starts_with("立即"));
        let fits = danger || fits(matter);
        // One word alone tells the matter only where the category agrees.
        if leaf.is_some() && !fits && matter.parts < 2 {
            continue;
        }
        let Some((order, span)) = said(heard, matter) else { continue };
        let mut weight = if fits { 2.0 } else { 0.0 };
        weight += if matter.parts > 1 { 0.5 } else { 0.0 };
        weight -= if order > 0 { 0.6 } else { 0.0 };
        if best.as_ref().is_none_or(|(known, ..)| weight > *known) {
            best = Some((weight, matter, span));
        }
    }
    best.map(|(_, matter, span)| (matter, span))
}

/// Whom the caller praises.
pub(super) fn praised(heard: &Heard) -> Option<(&'static Matter, Span)> {
    let named = WHO.iter().filter_map(|matter| said(heard, matter).map(|(_, span)| (matter, span)));
    named.min_by_key(|(_, span)| (span.utterance, span.characters.start))
}

/// Which of the caller's utterances says it first, and where.
fn said(heard: &Heard, matter: &Matter) -> Option<(usize, Span)> {
    heard.of(Channel::Caller).take(UTTERANCES).enumerate().find_map(|(order, (utterance, said))| {
        let sounds = matter.words.find(said)?;
        Some((order, Span { utterance, characters: said.characters(&sounds) }))
    })
}
